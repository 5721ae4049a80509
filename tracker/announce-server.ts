import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import BittorrentServer, { type AnnounceParams, type Callback, type Swarm } from 'bittorrent-tracker/server';
import type { Networks } from '../lib/config/networks.ts';
import type { ListenAddress } from '../lib/config/values.ts';
import { describeError } from '../lib/core/errors.ts';
import { limitConnections } from '../lib/observe/connection-limits.ts';
import type { Logger } from '../lib/observe/log.ts';
import { type Clock, every } from '../lib/runtime/clock.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import { mutualTls } from '../lib/security/system/mutual-tls.ts';
import { ANNOUNCE_PATH } from '../lib/wire/bittorrent-messages.ts';
import { type AnnounceGate, NOT_SHARED, readAnnouncePath } from './announce-gate.ts';
import type { BittorrentShares } from './bittorrent-shares.ts';
import { BITTORRENT_EVENTS, type BittorrentEvent, type BittorrentSwarms } from './bittorrent-swarms.ts';
import { httpScrape } from './http-scrape.ts';
import { listen } from './listen.ts';
import type { TrackerMetrics } from './metrics.ts';
import { admitUdp, listenUdp } from './udp-announce.ts';
import { createUdpConnectionIds } from './udp-connection-ids.ts';

/** A request is its head, or a few KiB behind it. */
const REQUEST_TIMEOUT_MS = 10_000;
/** A crowd that enrols comes at once; each is done after a moment. */
const MAX_CONNECTIONS = { total: 16_384, perAddress: 1_024 };
/** How long requests under way may take when the server closes. */
const CLOSE_TIMEOUT_MS = 1_000;
/** How often clients that are gone are forgotten and the gauges follow. */
const SWEEP_MS = 5_000;

export interface AnnounceServerDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly swarms: BittorrentSwarms;
  /** What may be announced, and by whom. */
  readonly shares: BittorrentShares;
  readonly gate: AnnounceGate;
  readonly metrics: TrackerMetrics;
  /** Who we are: the port is HTTPS. Without it the port is plain. */
  readonly credentials?: Credentials | undefined;
  /** Answers what is no announce. @returns false when it does not either */
  readonly alsoAnswers?: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
}

export interface AnnounceServer {
  readonly httpAddress: ListenAddress;
  readonly udpAddress?: ListenAddress;
  /** A second call waits for the first. */
  close(): Promise<void>;
}

/**
 * The tracker for standard BitTorrent clients: `/announce/PASSKEY` and `/scrape/PASSKEY` over HTTP (BEP 3, 7, 23, 48)
 * and, without a passkey, over UDP (BEP 15), for torrents that nodes of the cluster share. The sockets are ours, the
 * protocol is the library's.
 * @param options.udp from which networks it answers over UDP; `at` defaults to the host and port of HTTP
 * @throws CONFIG_INVALID when an address cannot be listened on
 */
export async function createAnnounceServer(
  deps: AnnounceServerDeps,
  options: {
    readonly http: ListenAddress;
    readonly udp?: { readonly from: Networks; readonly at?: ListenAddress | undefined } | undefined;
  },
): Promise<AnnounceServer> {
  const { clock, gate, log, metrics, shares, swarms } = deps;
  const tracker = new BittorrentServer({
    http: false,
    udp: false,
    ws: false,
    stats: false,
  });
  /** Of announces that the library works on. */
  const passkeys = new WeakMap<IncomingMessage, string>();
  const mayAnnounce = (infoHash: string, { httpReq }: AnnounceParams): boolean =>
    httpReq === undefined ? shares.has(infoHash) : gate.admits(infoHash, passkeys.get(httpReq) ?? '');
  tracker.getSwarm = (infoHash, callback) => callback(null, swarmOf(infoHash, { ...deps, mayAnnounce }));
  tracker.on('warning', (error) => {
    metrics.refused.inc({ reason: 'bittorrent' });
    log.debug({ problem: describeError(error) }, 'announce refused');
  });

  const server = createPublicServer(deps.credentials, (request, response) => {
    if (deps.alsoAnswers?.(request, response) === true) return;
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const asked = readAnnouncePath(path);
    response.setHeader('content-type', 'text/plain');
    if (request.method !== 'GET') {
      response.writeHead(405).end('only GET\n');
    } else if (asked === undefined) {
      response.writeHead(404).end('nothing here; BitTorrent clients use /announce/PASSKEY\n');
    } else if (asked.action === 'announce') {
      passkeys.set(request, asked.passkey);
      // The library knows no passkeys, and repeats addresses that it does not understand.
      request.url = `${ANNOUNCE_PATH}?${query}`;
      tracker.onHttpRequest(request, response);
    } else {
      response.end(httpScrape(query, swarms, (infoHash) => gate.admits(infoHash, asked.passkey)));
    }
  });
  limitConnections(server, MAX_CONNECTIONS);
  const httpAddress = await listen(server, options.http);
  server.on('error', (error) => log.error({ problem: describeError(error) }, 'announce port failed'));

  let udpAddress: ListenAddress | undefined;
  if (options.udp !== undefined) {
    const { at, from: networks } = options.udp;
    const wanted = at ?? { host: httpAddress.host, port: options.http.port };
    const udp = await listenUdp(wanted).catch((error: unknown) => {
      server.close();
      throw error;
    });
    udpAddress = udp.address;
    const ids = createUdpConnectionIds(clock);
    tracker.udp4 = tracker.udp6 = udp.socket;
    udp.socket.on('error', (error) => log.debug({ problem: describeError(error) }, 'udp announce failed'));
    udp.socket.on('message', (message, from) => {
      const admitted = networks.includes(from.address) ? admitUdp(message, from, ids) : 'drop';
      if (admitted === 'pass') tracker.onUdpRequest(message, from);
      else if (admitted === 'drop') metrics.refused.inc({ reason: 'bittorrent' });
      else udp.socket.send(admitted, from.port, from.address);
    });
  }

  const cancelSweep = every(clock, SWEEP_MS, () => {
    shares.expire();
    swarms.expire();
    metrics.members.set({ protocol: 'bittorrent' }, swarms.peers);
    metrics.swarms.set({ protocol: 'bittorrent' }, swarms.swarms);
  });
  let closing: Promise<void> | undefined;
  return {
    httpAddress,
    ...(udpAddress === undefined ? {} : { udpAddress }),
    close: () => {
      closing ??= new Promise((resolve) => {
        cancelSweep();
        tracker.close();
        const cancel = clock.after(CLOSE_TIMEOUT_MS, () => server.closeAllConnections());
        server.close(() => {
          cancel();
          resolve();
        });
      });
      return closing;
    },
  };
}

/** HTTPS for everybody: members show their certificate when they renew it, all others need none. */
function createPublicServer(
  credentials: Credentials | undefined,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const limits = { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS };
  if (credentials === undefined) return createServer(limits, answer);
  const options = () => ({ ...mutualTls(credentials.keys), minVersion: 'TLSv1.2' as const });
  const server = createTlsServer(
    {
      ...limits,
      ...options(),
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: REQUEST_TIMEOUT_MS,
    },
    answer,
  );
  const forget = credentials.onRenewed(() => server.setSecureContext(options()));
  server.once('close', forget);
  return server;
}

/** One swarm as the library asks for it; it holds no state, so unknown hashes cost nothing. */
export function swarmOf(
  infoHash: string,
  {
    swarms,
    metrics,
    log,
    mayAnnounce,
  }: Pick<AnnounceServerDeps, 'swarms' | 'metrics' | 'log'> & {
    readonly mayAnnounce: (infoHash: string, params: AnnounceParams) => boolean;
  },
): Swarm {
  return {
    announce: (params, callback) =>
      guarded(log, callback, () => {
        const event = BITTORRENT_EVENTS.find((known): known is BittorrentEvent => known === params.event);
        if (event === undefined) throw new Error('invalid event');
        if (!/^[0-9a-f]{40}$/.test(infoHash) || !/^[0-9a-f]{40}$/.test(params.peer_id)) {
          throw new Error('invalid info_hash or peer_id');
        }
        if (!mayAnnounce(infoHash, params)) throw new Error(NOT_SHARED);
        // Which form is asked for is advisory (BEP 23), and the library writes peer ids of the long one as UTF-8 text.
        params.compact = 1;
        metrics.announces.inc({ transport: params.type });
        const answer = swarms.announce({
          infoHash,
          peer: peerOf(params),
          event,
          complete: params.left === 0,
          numwant: params.numwant,
        });
        if (answer === undefined) throw new Error('this tracker is full');
        return answer;
      }),
    scrape: (_params, callback) => guarded(log, callback, () => swarms.counts(infoHash)),
  };
}

function peerOf({ peer_id: peerId, ip, port }: AnnounceParams): { peerId: string; ip: string; port: number } {
  return { peerId, ip: ip.replace(/^::ffff:/, ''), port };
}

/** The library calls swarms where nothing catches: an exception would end the process. */
function guarded<T>(log: Logger, callback: Callback<T>, compute: () => T): void {
  let result: T;
  try {
    result = compute();
  } catch (error) {
    log.debug({ problem: describeError(error) }, 'announce failed');
    callback(error instanceof Error ? error : new Error('internal error'));
    return;
  }
  callback(null, result);
}

import { X509Certificate } from 'node:crypto';
import { checkServerIdentity as isNamed, type PeerCertificate, rootCertificates } from 'node:tls';
import { Agent, install } from 'undici';
import type WebTorrent from 'webtorrent';
import type { Torrent, Wire } from 'webtorrent';
import { identityOf } from '../../lib/security/member.ts';

/** Connections to other clients, both ways, of all torrents together. */
const MAX_CONNECTIONS = 64;
/**
 * What may wait for one client, bytes: 512 blocks of 16 KiB, about twice what clients ask for ahead. Blocks are answered
 * as they are asked for, and whoever asks on and on without reading would cost memory.
 */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

export interface BittorrentClientOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Bytes per second. @default no limit */
  readonly uploadRate?: number | undefined;
  /** Whom to believe that it is a tracker, besides the authorities that everybody does: PEM of the cluster's. */
  readonly authority?: string | undefined;
  /** Something went wrong that belongs to no torrent. */
  readonly onProblem: (error: unknown) => void;
}

/** A standard BitTorrent client, of webtorrent, that finds others by trackers alone and opens nothing in routers. */
export interface BittorrentClient {
  readonly client: WebTorrent;
  /** The cluster's authority is another one. */
  readonly trust: (authority: string) => void;
}

export async function createBittorrentClient(options: BittorrentClientOptions): Promise<BittorrentClient> {
  const { authority, listen, onProblem, uploadRate } = options;
  // The tracker client leaves one behind when an answer is cut off, which must not end the process.
  process.on('unhandledRejection', onProblem);
  const proxyOpts: { httpsAgent?: object } = {};
  const trust = (pem: string): void => {
    proxyOpts.httpsAgent = trackerAgent(pem);
  };
  if (authority !== undefined) trust(authority);
  // The tracker client takes the fetch that is there when it is loaded; Node's own refuses an agent of the package.
  install();
  const { default: Client } = await import('webtorrent');
  const client = new Client({
    torrentPort: listen,
    tracker: { wrtc: false, proxyOpts },
    ...{ dht: false, lsd: false, natUpnp: false, natPmp: false, utp: false, utPex: false, webSeeds: false },
    maxConns: MAX_CONNECTIONS,
    uploadLimit: uploadRate === undefined || !Number.isFinite(uploadRate) ? -1 : uploadRate,
    secure: 0,
  });
  client.on('listening', () => {
    const server = client._connPool?.tcpServer;
    if (server !== undefined) server.maxConnections = MAX_CONNECTIONS;
  });
  client.on('add', (torrent: Torrent) => {
    torrent.on('wire', (wire: Wire) => {
      wire.on('request', () => {
        if (wire._readableState.buffered > MAX_WAITING_BYTES) wire.destroy();
      });
    });
  });
  return { client, trust };
}

/** A tracker of a cluster is known by its certificate, by whatever address; any other as usual. */
function trackerAgent(authority: string): Agent {
  return new Agent({ connect: { ca: [...rootCertificates, authority], checkServerIdentity } });
}

function checkServerIdentity(host: string, shown: PeerCertificate): Error | undefined {
  const role = identityOf(new X509Certificate(shown.raw))?.role;
  return role === 'tracker' ? undefined : isNamed(host, shown);
}

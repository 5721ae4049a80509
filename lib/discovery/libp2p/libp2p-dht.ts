import { identify } from '@libp2p/identify';
import type { ComponentLogger, Connection, Libp2p, Stream, Transport } from '@libp2p/interface';
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht';
import { mdns } from '@libp2p/mdns';
import { noise } from '@libp2p/noise';
import { peerIdFromString } from '@libp2p/peer-id';
import { ping } from '@libp2p/ping';
import { preSharedKey } from '@libp2p/pnet';
import { tcp } from '@libp2p/tcp';
import { lpStream } from '@libp2p/utils';
import { yamux } from '@libp2p/yamux';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { CID } from 'multiformats/cid';
import { create as createMultihash } from 'multiformats/hashes/digest';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import {
  type BlobKey,
  decodeAnswer,
  decodeQuestion,
  encodeMember,
  MAX_MEMBER_BYTES,
} from '../../wire/member-codec.ts';
import type { ClusterKeys } from './cluster-keys.ts';
import { type Dht, type DhtListener, type Heard, type MemberId, RECORD_LIFETIME_MS } from './dht.ts';
import { ProviderRecords } from './provider-records.ts';

const MEMBER_PROTOCOL = '/damselfly/member/1';
const KAD_PROTOCOL = '/damselfly/kad/1';
/** Multicodec of bytes without a meaning, and of SHA-256: a key is 32 bytes that look like one. */
const RAW = 0x55;
const SHA2_256 = 0x12;
/** Records that have run out are looked for so often. */
const CLEANUP_MS = 10 * 60_000;
/** Most that a member may let us wait for its question or for the end of our answer, milliseconds. */
const STREAM_MS = 5000;
/** Many members may sit behind one address, and all come at once when their trackers go. */
const INBOUND_PER_HOST_A_SECOND = 100;
const DIALS_AT_ONCE = 32;
const DIAL_MS = 3000;

export interface Libp2pDhtOptions {
  readonly keys: ClusterKeys;
  readonly listen: { readonly host: string; readonly port: number };
  /** Host by which others reach this process, if it is not one of the machine's addresses. */
  readonly advertise?: string | undefined;
  /** Looks for members on the LAN. */
  readonly lan: boolean;
  /** Most connections; those to members that matter are the last to go. */
  readonly maxConnections: number;
  /** @default TCP */
  readonly transport?: typeof tcp;
}

/**
 * Opens the process's part of the hash table: libp2p over TCP in a private network, encrypted by Noise, with Kademlia
 * provider records. The peer id is a fresh one at each start; once processes have certificates, their key is to be it.
 * @throws CONFIG_INVALID when the address cannot be listened on
 */
export async function openLibp2pDht(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  options: Libp2pDhtOptions,
  listener: DhtListener,
): Promise<Dht> {
  const { advertise, keys, lan, listen, maxConnections, transport = tcp } = options;
  const ending = new AbortController();
  const node = await createLibp2p({
    addresses: {
      listen: [`${hostPart(listen.host)}/tcp/${listen.port}`],
      announceFilter: (all) => announced(all, advertise),
    },
    transports: [transport() as () => Transport],
    connectionProtector: preSharedKey({ psk: pskFile(keys.network) }),
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      maxConnections,
      inboundConnectionThreshold: INBOUND_PER_HOST_A_SECOND,
      maxIncomingPendingConnections: INBOUND_PER_HOST_A_SECOND,
      maxParallelDials: DIALS_AT_ONCE,
      dialTimeout: DIAL_MS,
    },
    // Clusters live on private and loopback addresses, which libp2p refuses to dial by default.
    connectionGater: { denyDialMultiaddr: () => false },
    peerDiscovery: lan ? [mdns({ serviceTag: keys.lanService })] : [],
    datastore: new ProviderRecords(),
    logger: silentLogger,
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: KAD_PROTOCOL,
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        allowQueryWithZeroPeers: true,
        // Our own publisher renews records, at a rate of its own.
        reprovide: { validity: RECORD_LIFETIME_MS, threshold: 0, interval: CLEANUP_MS },
      }),
    },
    start: false,
  });
  await node.handle(
    MEMBER_PROTOCOL,
    (stream, connection) => {
      withDeadline(clock, STREAM_MS, ending.signal, (signal) =>
        answer(stream, connection, listener, signal),
      ).catch((error: unknown) => {
        log.debug({ error: describeError(error) }, 'a member was not answered');
        stream.abort(error as Error);
      });
    },
    { maxInboundStreams: 8 },
  );
  await node.register(MEMBER_PROTOCOL, {
    onConnect: (peer) => listener.connected(peer.toString()),
    onDisconnect: (peer) => listener.disconnected(peer.toString()),
  });
  node.addEventListener('peer:discovery', ({ detail: { id, multiaddrs } }) => {
    if (node.getConnections(id).length > 0 || multiaddrs.length === 0) return;
    // Found on the LAN or by the way of a query; a member that cannot be reached is none.
    node.dial(id, { signal: ending.signal }).catch(() => {});
  });
  try {
    await node.start();
  } catch (error) {
    await node.stop();
    throw new DamselflyError(
      'CONFIG_INVALID',
      `the DHT cannot listen on ${listen.host}:${listen.port}: ${describeError(error)}`,
    );
  }
  return libp2pDht(node, node.services.dht, ending);
}

function libp2pDht(node: Libp2p, dht: KadDHT, ending: AbortController): Dht {
  const within = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, ending.signal]);
  return {
    door: { member: node.peerId.toString(), port: portOf(node.getMultiaddrs()) },
    async join({ host, member, port }, signal) {
      const target = multiaddr(`${hostPart(host)}/tcp/${port}/p2p/${member}`);
      await reaching(signal, () => node.dial(target, { signal: within(signal) }));
    },
    async ask(member, question, signal) {
      return await reaching(signal, async (): Promise<Heard<ReturnType<typeof decodeAnswer>>> => {
        const options = { signal: within(signal) };
        const connection = await node.dial(peerIdFromString(member), options);
        const stream = await connection.newStream(MEMBER_PROTOCOL, options);
        try {
          const messages = lpStream(stream, { maxDataLength: MAX_MEMBER_BYTES });
          await messages.write(Buffer.from(encodeMember(question)), options);
          const text = Buffer.from((await messages.read(options)).subarray()).toString();
          await stream.close(options);
          return { message: decodeAnswer(text), host: hostOf(connection.remoteAddr) };
        } catch (error) {
          stream.abort(error as Error);
          throw error;
        }
      });
    },
    async provide(key, signal) {
      await reaching(signal, async () => {
        for await (const event of dht.provide(cidOf(key), { signal: within(signal) })) void event;
      });
    },
    async forget(key) {
      await dht.cancelReprovide(cidOf(key), { signal: ending.signal });
    },
    async *find(key, signal) {
      const found = new Set<MemberId>([node.peerId.toString()]);
      try {
        for await (const event of dht.findProviders(cidOf(key), { signal: within(signal) })) {
          if (event.name !== 'PROVIDER' && event.name !== 'PEER_RESPONSE') continue;
          for (const { id } of event.providers) {
            const member = id.toString();
            if (found.has(member)) continue;
            found.add(member);
            yield member;
          }
        }
      } catch (error) {
        throw unreachable(signal, error);
      }
    },
    async addressOf(member) {
      const id = peerIdFromString(member);
      const peer = await node.peerStore.get(id).catch(() => undefined);
      const known = peer?.addresses.map(({ multiaddr: address }) => address) ?? [];
      const [address] = announced(known, undefined);
      const host = address === undefined ? '' : hostOf(address);
      return address === undefined || host === '' ? undefined : { host, port: portOf([address]), member };
    },
    async close() {
      ending.abort(abortedError(AbortSignal.abort('the DHT is left')));
      await node.stop();
    },
  };
}

/** One question of a member, and our answer. */
async function answer(
  stream: Stream,
  connection: Connection,
  listener: DhtListener,
  signal: AbortSignal,
): Promise<void> {
  const options = { signal };
  const messages = lpStream(stream, { maxDataLength: MAX_MEMBER_BYTES });
  const text = Buffer.from((await messages.read(options)).subarray()).toString();
  const heard = { message: decodeQuestion(text), host: hostOf(connection.remoteAddr) };
  const said = await listener.asked(connection.remotePeer.toString(), heard);
  await messages.write(Buffer.from(encodeMember(said)), options);
  await stream.close(options);
}

async function reaching<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw unreachable(signal, error);
  }
}

function unreachable(signal: AbortSignal, error: unknown): DamselflyError {
  if (error instanceof DamselflyError) return error;
  if (signal.aborted) return abortedError(signal);
  return new DamselflyError(
    'PEER_UNREACHABLE',
    `the DHT does not answer: ${describeError(error)}`,
    {},
    { cause: error },
  );
}

/** The format of libp2p's key files. */
function pskFile(key: Uint8Array): Uint8Array {
  return Buffer.from(`/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(key).toString('hex')}`);
}

function cidOf(key: BlobKey): CID {
  return CID.createV1(RAW, createMultihash(SHA2_256, Buffer.from(key, 'hex')));
}

/** What others are told: the given host if there is one, and loopback only when there is nothing else. */
function announced(all: readonly Multiaddr[], advertise: string | undefined): Multiaddr[] {
  const own = all.filter((address) => !isLoopback(hostOf(address)));
  const told = own.length > 0 ? own : [...all];
  if (advertise === undefined || told.length === 0) return told;
  return [multiaddr(`${hostPart(advertise)}/tcp/${portOf(told)}`)];
}

function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1';
}

function hostPart(host: string): string {
  if (host.includes(':')) return `/ip6/${host}`;
  return /^[\d.]+$/.test(host) ? `/ip4/${host}` : `/dns/${host}`;
}

function hostOf(address: Multiaddr): string {
  const part = address.getComponents().find(({ name }) => /^(?:ip4|ip6|dns4?|dns6)$/.test(name));
  return part?.value ?? '';
}

function portOf([address]: readonly Multiaddr[]): number {
  const part = address?.getComponents().find(({ name }) => name === 'tcp');
  return Number(part?.value ?? 0);
}

/** libp2p has nothing to say that our own log does not. */
const nothing = Object.assign(() => {}, {
  enabled: false,
  error: () => {},
  trace: () => {},
  newScope: () => nothing,
});
const silentLogger: ComponentLogger = { forComponent: () => nothing as never };

import { loadUpstreams } from '../config/load-upstreams.ts';
import type { UpstreamConfig } from '../config/upstream.ts';
import type { ListenAddress } from '../config/values.ts';
import type { PeerInfo, Role } from '../core/node.ts';
import { createNoDiscovery } from '../discovery/no-discovery.ts';
import { createTrackerDiscovery } from '../discovery/tracker/tracker-discovery.ts';
import { joinAddress, startAdminServer } from '../observe/admin-server.ts';
import { createMetrics } from '../observe/metrics.ts';
import { createOriginClient } from '../origin/http/http-origin-client.ts';
import { tellTrust } from '../origin/tell-trust.ts';
import { loadNodeId } from '../runtime/system-identity.ts';
import { openNodeBlobStore } from '../store/node-blob-store.ts';
import { createBufferPool } from './buffer-pool.ts';
import type { EngineDeps } from './engine-deps.ts';
import { createHttpPeerNetwork } from './http/http-peer-network.ts';
import type { PeerServerHandlers } from './seams.ts';

/** Settings that a node daemon and a supernode have in common. */
export interface PeerHostConfig {
  readonly peerListen: ListenAddress;
  readonly adminListen: ListenAddress;
  readonly advertise?: { readonly host: string; readonly port?: number } | undefined;
  readonly tracker: readonly string[];
  readonly upstream: readonly UpstreamConfig[];
  /** Paths of files with credentials for the upstreams. */
  readonly authFile: readonly string[];
  readonly dataDir: string;
  /** Bytes. */
  readonly storeMax?: number | undefined;
  /** Bytes. */
  readonly bufferMemory: number;
  readonly zone: string;
}

export type PeerHostDeps = Pick<EngineDeps, 'clock' | 'rng' | 'log' | 'wallClockMs'>;

interface Engine extends PeerServerHandlers {
  start(): void;
  close(): Promise<void>;
}

export interface PeerHost<E extends Engine> extends EngineDeps {
  readonly engine: E;
  readonly peerAddress: string;
  readonly adminAddress: string;
  /** Closes later-opened things first; whatever is added here goes before everything in the host. */
  onClose(closer: () => Promise<void>): void;
  /** `/readyz` says these too. */
  addNotes(notes: () => readonly string[]): void;
  close(): Promise<void>;
}

/**
 * Opens what every process that shares pieces stands on, in order: identity, store, registry client, peer port,
 * discovery, the engine, and the admin port.
 * @throws CONFIG_INVALID (also when an address cannot be listened on), STORE_FAILED
 */
export async function openPeerHost<E extends Engine>(
  deps: PeerHostDeps,
  config: PeerHostConfig,
  role: Role,
  createEngine: (deps: EngineDeps) => E,
): Promise<PeerHost<E>> {
  const { clock, log, rng, wallClockMs } = deps;
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const upstreams = loadUpstreams(config.upstream, config.authFile);
    const id = await loadNodeId(config.dataDir);
    const metrics = createMetrics();
    const limits = config.storeMax === undefined ? {} : { maxBytes: config.storeMax };
    const store = await openNodeBlobStore({ clock, log, wallClockMs, folder: config.dataDir }, limits);
    closers.push(() => store.close());
    const origin = createOriginClient({ upstreams, metrics, log, clock, rng });
    closers.push(() => origin.close());
    const loosened = tellTrust(upstreams, metrics, log);
    const network = createHttpPeerNetwork({ clock, log });
    closers.push(() => network.close());
    // The peer port is open before the engine is made, because who we are includes its number.
    const late: { engine?: E } = {};
    const listener = await network.listen(config.peerListen, {
      link: (link) => (late.engine === undefined ? link.close('starting') : late.engine.link(link)),
      piece: (request) => late.engine?.piece(request) ?? { kind: 'unknown' },
    });
    closers.push(() => listener.close());
    const self: PeerInfo = {
      id,
      role,
      host: config.advertise?.host ?? '',
      port: config.advertise?.port ?? listener.address.port,
      zone: config.zone,
    };
    const discovery =
      config.tracker.length === 0
        ? createNoDiscovery()
        : createTrackerDiscovery({ clock, log, rng }, { trackers: config.tracker, peer: self });
    closers.push(() => discovery.close());
    const pool = createBufferPool({ budgetBytes: config.bufferMemory });
    const parts = { ...deps, network, discovery, store, origin, pool, metrics, self: () => self };
    const engine = createEngine(parts);
    late.engine = engine;
    engine.start();
    closers.push(() => engine.close());
    const moreNotes: (() => readonly string[])[] = [];
    const admin = await startAdminServer({
      ...config.adminListen,
      registry: metrics.registry,
      checks: () => ({ tracker: config.tracker.length === 0 || discovery.reachable }),
      notes: ['insecure: connections between peers are neither encrypted nor authenticated', ...loosened],
      moreNotes: () => moreNotes.flatMap((notes) => notes()),
      refresh: () => {
        const blobs = store.list();
        metrics.storeBlobs.set(blobs.length);
        metrics.storeBytes.set(blobs.reduce((sum, blob) => sum + blob.bytes, 0));
      },
    });
    closers.push(() => admin.close());
    log.warn('peer connections are neither encrypted nor authenticated (insecure mode)');
    return {
      ...parts,
      engine,
      peerAddress: joinAddress(listener.address.host, listener.address.port),
      adminAddress: admin.address,
      onClose: (closer) => void closers.push(closer),
      addNotes: (notes) => void moreNotes.push(notes),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

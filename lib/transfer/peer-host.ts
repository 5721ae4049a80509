import { loadAdminToken } from '../config/load-admin-token.ts';
import { loadZone } from '../config/load-zone.ts';
import type { BlobRequest } from '../core/blob-source.ts';
import { DamselflyError } from '../core/errors.ts';
import type { Role } from '../core/node.ts';
import { joinAddress, startAdminServer } from '../observe/admin-server.ts';
import type { Trace } from '../observe/trace.ts';
import { TraceRing } from '../observe/trace-ring.ts';
import { lowerPriority } from '../runtime/system-priority.ts';
import type { Credentials } from '../security/credentials.ts';
import { Signatures } from '../security/signatures.ts';
import { createNodeDisk } from '../store/disk/node-disk.ts';
import { nodeId, openStore } from './data-dirs.ts';
import type { EngineDeps } from './engine-deps.ts';
import { createHostParts, type HostParts, type PeerHostDeps } from './host-parts.ts';
import { createHttpPeerNetwork } from './http/http-peer-network.ts';
import type { Limits } from './limits.ts';
import { addLimitsApi } from './limits-api.ts';
import { type OpenedDiscovery, openDiscovery } from './open-discovery.ts';
import type { PeerHostConfig } from './peer-host-config.ts';
import { fetchOrdered } from './preheat/fetch-ordered.ts';
import { PreheatWorker } from './preheat/preheat-worker.ts';
import { Vouching } from './proofs/vouching.ts';
import { Reporter } from './reporter.ts';
import { Grants } from './rights/grants.ts';
import type { PeerServerHandlers } from './seams.ts';
import type { SwarmStatus } from './swarm-status.ts';
import { addTraceApi, type TraceApiDeps } from './trace-api.ts';

/** Blobs at a time, as many as container runtimes read. */
const PREHEATED_BY_SUPERNODE = 3;

const INSECURE = 'insecure: connections between peers are neither encrypted nor authenticated';

interface Engine extends PeerServerHandlers {
  start(): void;
  /** Brings a whole blob here. */
  preheat(request: BlobRequest, options: { readonly signal: AbortSignal }): Promise<void>;
  status(): SwarmStatus;
  close(): Promise<void>;
  /** Of a supernode: bytes that nodes wait for and nobody else holds. */
  unsharedBytes?(): number;
}

export interface PeerHost<E extends Engine> extends EngineDeps {
  readonly engine: E;
  readonly preheat: PreheatWorker;
  readonly limits: Limits;
  /** What happened lately. */
  readonly traced: TraceApiDeps;
  readonly credentials?: Credentials | undefined;
  readonly peerAddress: string;
  readonly adminAddress: string;
  /** Where it listens, to open it there again. */
  readonly places: Pick<PeerHostConfig, 'peerListen' | 'adminListen'>;
  /** The sockets it listens on, to hand them to another process. */
  readonly descriptors: { readonly peer: number | undefined; readonly admin: number | undefined };
  /** Who names peers now. */
  readonly foundBy: OpenedDiscovery['by'];
  /** The data directory that keeps what is not a blob: who we are, and what we were told. */
  readonly stateFolder: string;
  /** Closes later-opened things first; whatever is added here goes before everything in the host. */
  onClose(closer: () => Promise<void>): void;
  /** `/readyz` says these too. */
  addNotes(notes: () => readonly string[]): void;
  close(): Promise<void>;
}

/**
 * Opens what every process that shares pieces stands on, in order: identity, store, peer port, discovery, the engine,
 * and the admin port.
 * @param given parts that outlive the host; without them it has its own
 * @throws CONFIG_INVALID (also when an address cannot be listened on), STORE_*
 */
export async function openPeerHost<E extends Engine>(
  deps: PeerHostDeps,
  config: PeerHostConfig,
  role: Role,
  createEngine: (deps: EngineDeps) => E,
  given?: HostParts,
): Promise<PeerHost<E>> {
  const { clock, credentials, log, rng } = deps;
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    if (config.background === true) lowerPriority();
    const hostParts = given ?? (await createHostParts(deps, config, role));
    if (given === undefined) closers.push(() => hostParts.close());
    const { limits, metrics, origin, pool, tracer } = hostParts;
    const store = await openStore(deps, config);
    closers.push(() => store.close());
    const { folder: stateFolder, id: ownId } = await nodeId(config.dataDir);
    const id = credentials?.id ?? ownId;
    metrics.insecure.set(credentials === undefined ? 1 : 0);
    const network = createHttpPeerNetwork(
      { clock, log, onStranger: (reason) => metrics.strangers.inc({ reason }) },
      { maxConnections: () => limits.settings.maxConnections, pool, credentials },
    );
    closers.push(() => network.close());
    // The peer port is open before the engine is made, because who we are includes its number.
    const late: { engine?: E; opened?: OpenedDiscovery } = {};
    const made = Promise.withResolvers<E>();
    const listener = await network.listen(config.peerListen, {
      link: (link) => (late.engine === undefined ? link.close('starting') : late.engine.link(link)),
      piece: (request) => late.engine?.piece(request) ?? { kind: 'unknown' },
      dhtDoor: async () => {
        const door = await late.opened?.dhtDoor?.();
        if (door !== undefined) return door;
        throw new DamselflyError('PEER_UNREACHABLE', 'this process is in no DHT');
      },
      capability: async (from, question, options) => await late.engine?.capability?.(from, question, options),
      smallBlobs: async (request, options) => (await late.engine?.smallBlobs?.(request, options)) ?? [],
    });
    closers.push(() => listener.close());
    const self = {
      id,
      role,
      host: config.advertise?.host ?? '',
      port: config.advertise?.port ?? listener.address.port,
      zone: loadZone(config),
    };
    metrics.zone.set({ zone: self.zone }, 1);
    const disk = createNodeDisk();
    const preheat = new PreheatWorker(
      { clock, log, metrics, origin },
      {
        labels: Object.fromEntries((config.label ?? []).map(({ key, value }) => [key, value])),
        parallel: role === 'node' ? 1 : PREHEATED_BY_SUPERNODE,
        // A tracker may order before the engine is made.
        fetch: async (request, options) => {
          const theEngine = await made.promise;
          const preheat = theEngine.preheat.bind(theEngine);
          const needsCapabilities = credentials !== undefined;
          await fetchOrdered({ origin, store, needsCapabilities, preheat }, request, options);
        },
      },
    );
    const reporter = new Reporter(clock, metrics);
    closers.push(async () => reporter.close());
    const opened = await openDiscovery(
      {
        ...{ clock, rng, log, metrics, disk, locator: network, credentials, preheat, reporter },
        // Whoever names no zone is where the tracker says.
        placed: (zone) => {
          self.zone = zone;
          metrics.zone.reset();
          metrics.zone.set({ zone }, 1);
        },
      },
      config,
      self,
      stateFolder,
    );
    closers.push(() => opened.close());
    late.opened = opened;
    const { discovery } = opened;
    const ring = new TraceRing();
    const traced = { ...deps, ring, self: () => self };
    const trace: Trace = (atMs, event) => {
      ring.note(atMs, event);
      reporter.note(atMs, event);
    };
    const clusterTimeMs = (): number => credentials?.time.nowMs() ?? deps.wallClockMs();
    const vouching =
      credentials === undefined
        ? undefined
        : new Vouching(new Signatures(credentials), { warrantsGiven: () => opened.by() === 'tracker' });
    const grants =
      vouching === undefined
        ? undefined
        : new Grants({ ...deps, metrics, signatures: vouching.signatures, wallClockMs: clusterTimeMs });
    const shared = { grants, network, discovery, store, origin, pool, limits, metrics, tracer, vouching };
    const parts = { ...deps, ...shared, clusterTimeMs, trace, self: () => self };
    const engine = createEngine(parts);
    late.engine = engine;
    reporter.follow(() => engine.status().blobs);
    engine.start();
    made.resolve(engine);
    closers.push(() => engine.close());
    closers.push(() => preheat.close());
    const moreNotes: (() => readonly string[])[] = [];
    const admin = await startAdminServer({
      ...config.adminListen,
      token: loadAdminToken(config.adminTokenFile),
      registry: metrics.registry,
      checks: () => ({ tracker: config.tracker.length === 0 || discovery.reachable }),
      notes: [...(credentials === undefined ? [INSECURE] : []), ...hostParts.notes],
      moreNotes: () => moreNotes.flatMap((notes) => notes()),
      refresh: () => {
        metrics.unsharedBytes.set(engine.unsharedBytes?.() ?? 0);
        const blobs = store.list().filter(({ borrowed }) => borrowed !== true);
        metrics.storeBlobs.set(blobs.length);
        metrics.storeBytes.set(blobs.reduce((sum, blob) => sum + blob.bytes, 0));
      },
      routes: (server) => {
        addLimitsApi(server, limits);
        addTraceApi(server, () => traced);
      },
    });
    closers.push(() => admin.close());
    return {
      ...parts,
      engine,
      preheat,
      traced,
      peerAddress: joinAddress(listener.address.host, listener.address.port),
      adminAddress: admin.address,
      places: { peerListen: listener.address, adminListen: { ...config.adminListen, port: admin.port } },
      get descriptors() {
        return { peer: listener.fd, admin: admin.fd };
      },
      foundBy: () => opened.by(),
      stateFolder,
      onClose: (closer) => void closers.push(closer),
      addNotes: (notes) => void moreNotes.push(notes),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

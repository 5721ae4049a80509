import type { PeerInfo, Role } from '../../lib/core/node.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import type { Trace } from '../../lib/observe/trace.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import type { HttpConnections } from '../../lib/origin/http/undici-exchange.ts';
import { type Rng, randomHex } from '../../lib/runtime/rng.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk, type MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue, type MemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { BlobSummary } from '../../lib/store/store.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import type { EngineDeps } from '../../lib/transfer/engine-deps.ts';
import { Limits } from '../../lib/transfer/limits.ts';
import { pacedOrigin } from '../../lib/transfer/paced-origin.ts';
import { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { Vouching } from '../../lib/transfer/proofs/vouching.ts';
import { Grants } from '../../lib/transfer/rights/grants.ts';
import { SeedEngine } from '../../lib/transfer/seed/seed-engine.ts';
import type { Fault } from './faults.ts';
import type { Mutant } from './mutants.ts';
import { dialSimControl } from './sim-control.ts';
import { type DiskPace, processDisk } from './sim-disk.ts';
import type { SimIdentity } from './sim-identities.ts';
import { type Hears, processNetwork } from './sim-network.ts';
import { SimProcess } from './sim-process.ts';
import type { SimRegistry } from './sim-registry.ts';
import { smallPieces } from './small-pieces.ts';
import { CONTROL_PORT, type SimSurroundings } from './surroundings.ts';

const PEER_PORT = 65_002;
const UPSTREAM = { name: 'registry.test', url: 'http://registry.test' };
/** A process that could not start is started again, as systemd does. */
const RESTART_MS = 1000;
/** What could not be recorded is recorded by then. */
const RECORDED_MS = 2000;

type DiskFault = Extract<Fault, { readonly kind: 'disk-full' | 'disk-fails' | 'disk-slow' }>;

export interface PeerSettings {
  readonly name: string;
  readonly role: Role;
  readonly trackers: readonly string[];
  readonly bufferBytes: number;
  readonly storeMaxBytes: number | undefined;
  readonly pieceBytes: number;
  readonly trace: Trace;
  readonly log: Logger;
  /** Told of what peers say to it. */
  readonly hears: Hears;
  /** Told each time that it may not step aside, because so many have. */
  readonly crowded: () => void;
  readonly mutant: Mutant | undefined;
  /** Undefined in a cluster where nobody proves who he is. */
  readonly identity: SimIdentity | undefined;
}

/** What runs on the machine now. */
export interface RunningPeer {
  readonly process: SimProcess;
  readonly engine: PeerEngine | SeedEngine;
  readonly deps: EngineDeps;
  /** It was asked to end. */
  stopping: boolean;
  /** Rejects when it is dead. */
  readonly gone: Promise<never>;
  /** Ends it as SIGTERM does. */
  stop(): Promise<void>;
}

/** A machine with a node daemon or a supernode on it: the real engine, store and discovery, started over and over. */
export class SimPeer {
  readonly name: string;
  readonly role: Role;
  readonly id: string;
  readonly folder: string;
  disk: MemoryDisk = createMemoryDisk();
  keyValue: MemoryKeyValue = createMemoryKeyValue();
  readonly pace: DiskPace = { slowness: 1 };
  /** Of its wall clock. */
  skewMs = 0;
  /** Somebody changed its files: what it held may be lost. */
  tampered = false;
  /** Its power went: what the store says of blobs that it has not opened since is what it had recorded before. */
  lostPower = false;
  /** Of its disk, in effect now. */
  readonly diskFaults = new Set<DiskFault>();
  diskHealedMs = Number.NEGATIVE_INFINITY;
  readonly rng: Rng;
  /** Undefined while nothing runs, or it is only starting. */
  running: RunningPeer | undefined;
  /** Also while it is starting. */
  process: SimProcess | undefined;
  readonly #settings: PeerSettings;
  readonly #around: SimSurroundings;
  readonly #registry: SimRegistry;

  constructor(settings: PeerSettings, around: SimSurroundings, registry: SimRegistry, rng: Rng) {
    this.name = settings.name;
    this.role = settings.role;
    this.folder = `/${settings.name}`;
    this.#settings = settings;
    this.#around = around;
    this.#registry = registry;
    this.rng = rng;
    this.id = settings.identity?.id ?? randomHex(rng, 20);
  }

  /** What the store says that it has. */
  get summaries(): readonly BlobSummary[] {
    return this.running?.deps.store.list() ?? [];
  }

  /** Whether what is held cannot be recorded now, or could not a moment ago. */
  get recordsFail(): boolean {
    return this.diskFaults.size > 0 || this.diskHealedMs > this.#around.clock.now() - RECORDED_MS;
  }

  /** Brings the disk into the state that the faults want. */
  applyDiskFaults(): void {
    const { disk, keyValue } = this;
    disk.heal();
    keyValue.failBatches(undefined);
    this.pace.slowness = 1;
    for (const fault of this.diskFaults) {
      if (fault.kind === 'disk-full') disk.fillUpAfter(fault.afterBytes);
      else if (fault.kind === 'disk-slow') this.pace.slowness = fault.times;
      else if (fault.what === 'records') keyValue.failBatches('EIO');
      else disk.fail([fault.what], 'EIO');
    }
  }

  /** Starts the process on what is on the disk. */
  start(onRunning: (running: RunningPeer) => void): void {
    this.applyDiskFaults();
    const process = new SimProcess(this.#around.clock, 1 + (this.rng.float() - 0.5) / 1000);
    this.process = process;
    this.#open(process).then(
      (running) => {
        if (this.process !== process) return;
        this.running = running;
        onRunning(running);
      },
      () => {
        if (this.process !== process) return;
        process.kill();
        this.#around.clock.after(RESTART_MS, () => {
          if (this.process === process) this.start(onRunning);
        });
      },
    );
  }

  /** The process is no more. */
  kill(): void {
    this.process?.kill();
    this.process = undefined;
    this.running = undefined;
    this.#die();
  }

  #die: () => void = () => {};

  async #open(process: SimProcess): Promise<RunningPeer> {
    const {
      bufferBytes,
      crowded,
      hears,
      identity,
      log,
      mutant,
      name,
      role,
      storeMaxBytes: maxBytes,
      trace,
      trackers,
    } = this.#settings;
    const { clock } = process;
    const rng = this.rng;
    const wallClockMs = (): number => this.#around.wallClockMs() + this.skewMs;
    const storage = processDisk(process, this, rng, this.pace);
    const { disk, keyValue } = mutant?.storage?.(storage) ?? storage;
    const { folder } = this;
    const storeDeps = { disk, keyValue, log, clock, wallClockMs, folder };
    const opened = await openBlobStore(storeDeps, maxBytes === undefined ? {} : { maxBytes });
    const store = smallPieces(opened, this.#settings.pieceBytes);
    const limits = new Limits(clock);
    const exchange = this.#registry.exchange(name, process);
    const connect = (): HttpConnections => ({
      exchange,
      finish: async () => {},
      close: async () => {},
    });
    const registries = createOriginClient({ upstreams: [UPSTREAM], log, clock, rng, connect });
    const host = {
      ...this.#around.rates,
      ...(identity && { member: { id: this.id, role, fingerprint: identity.fingerprint } }),
    };
    const network = processNetwork(process, this.#around.network.host(name, host), hears);
    const late: { engine?: PeerEngine | SeedEngine } = {};
    const listener = await network.listen(
      { host: name, port: PEER_PORT },
      {
        link: (link) => (late.engine === undefined ? link.close('starting') : late.engine.link(link)),
        piece: (asked) => late.engine?.piece(asked) ?? { kind: 'unknown' },
        smallBlobs: async (asked, options) => (await late.engine?.smallBlobs(asked, options)) ?? [],
        ...(role === 'supernode' && {
          capability: async (...asked) =>
            late.engine instanceof SeedEngine ? await late.engine.capability(...asked) : undefined,
        }),
      },
    );
    const self: PeerInfo = { id: this.id, role, host: name, port: PEER_PORT, zone: '' };
    const control = processNetwork(process, this.#around.control.host(name));
    const discovery = createTrackerDiscovery(
      { clock, log, rng, wallClockMs, dial: dialSimControl(process, control) },
      { trackers: trackers.map((tracker) => `ws://${tracker}:${CONTROL_PORT}`), peer: self },
    );
    const ask = discovery.leases.ask.bind(discovery.leases);
    discovery.leases.ask = async (wish) => {
      const answer = await ask(wish);
      if (answer?.kind === 'refused' && answer.reason === 'crowded') crowded();
      return answer;
    };
    const metrics = createMetrics({ defaults: false });
    const { clusterTimeMs, rightsClock } = this.#around;
    const vouching =
      identity &&
      new Vouching(new Signatures(identity.credentials), { warrantsGiven: () => discovery.reachable });
    const grants =
      vouching &&
      new Grants({
        ...{ signatures: vouching.signatures, log, metrics, clock: rightsClock },
        wallClockMs: clusterTimeMs,
      });
    const given: EngineDeps = {
      ...{ self: () => self, network, discovery, store, limits, clock, rng, log, wallClockMs },
      ...{ clusterTimeMs, rightsClock, grants, metrics, vouching },
      origin: pacedOrigin(registries, limits),
      pool: createBufferPool({ budgetBytes: bufferBytes }),
      trace: (atMs, event) => process.run(() => trace(atMs, event)),
    };
    const deps = mutant?.engine?.(given, role) ?? given;
    const engine = role === 'node' ? new PeerEngine(deps) : new SeedEngine(deps);
    late.engine = engine;
    engine.start();
    const { promise: gone, reject } = Promise.withResolvers<never>();
    gone.catch(() => {});
    this.#die = () => reject(new Error('the daemon died'));
    const stop = async (): Promise<void> => {
      await engine.close();
      await discovery.close();
      await listener.close();
      await network.close();
      await registries.close();
      await store.close();
    };
    return { process, engine, deps, stop, gone, stopping: false };
  }
}

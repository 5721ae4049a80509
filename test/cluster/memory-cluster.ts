import { createHash } from 'node:crypto';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { Digest } from '../../lib/core/digest.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import { MemoryTracker } from '../../lib/discovery/memory-discovery.ts';
import type { ObjectStore } from '../../lib/objects/object-store.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import type { Tracer } from '../../lib/observe/spans.ts';
import type { TraceEvent } from '../../lib/observe/trace.ts';
import { MemoryOrigin } from '../../lib/origin/memory/memory-origin.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng, type Rng, randomHex } from '../../lib/runtime/rng.ts';
import { type ClusterAuthority, fingerprintOf } from '../../lib/security/cluster-authority.ts';
import type { ClusterTime } from '../../lib/security/cluster-time.ts';
import { warrantPapers } from '../../lib/security/read-warrant.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { openBorrowedBlobs } from '../../lib/store/borrowed-blobs.ts';
import { createMemoryDisk, type MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue, type MemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { layerStores } from '../../lib/store/layered-store.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import type { EngineDeps } from '../../lib/transfer/engine-deps.ts';
import { Limits } from '../../lib/transfer/limits.ts';
import { createMemoryNetwork, type MemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import type { NodeHabits } from '../../lib/transfer/node-habits.ts';
import { pacedOrigin } from '../../lib/transfer/paced-origin.ts';
import { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { Vouching } from '../../lib/transfer/proofs/vouching.ts';
import type { DeskHabits } from '../../lib/transfer/rights/capability-desk.ts';
import { Grants } from '../../lib/transfer/rights/grants.ts';
import { SeedEngine } from '../../lib/transfer/seed/seed-engine.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

const MIB = 1024 * 1024;
/** Every process listens on its own host. */
const PORT = 1000;

/** Where another program keeps its blobs. */
export const BORROWED = '/borrowed';

export interface Member<E> {
  readonly name: string;
  readonly engine: E;
  readonly disk: MemoryDisk;
  readonly keyValue: MemoryKeyValue;
  readonly deps: EngineDeps & { readonly limits: Limits };
}

/** What a process finds when it starts, if it was there before. */
interface Found {
  readonly id?: string;
  readonly disk?: MemoryDisk;
  readonly keyValue?: MemoryKeyValue;
}

export interface ClusterOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly supernodes: number;
  /** Of the registry, one body. @default 50 MiB/s */
  readonly originBytesPerSecond?: number;
  /** Of the registry, before the first byte. @default 5 */
  readonly originLatencyMs?: number;
  /** Of each machine, both ways. @default 100 MiB/s */
  readonly nodeBytesPerSecond?: number;
  /** Of nodes, in turn. @default the default zone */
  readonly zones?: readonly string[];
  /** Of supernodes, in turn. @default the default zone */
  readonly sites?: readonly string[];
  /** Of nodes. */
  readonly habits?: NodeHabits;
  /** Members have certificates, and what they sign is checked. @default false */
  readonly identities?: boolean;
  /** Peers give blobs only to those that show a capability; needs identities. @default false */
  readonly capabilities?: boolean;
  /** Of supernodes. */
  readonly deskHabits?: DeskHabits;
  /** Supernodes are so busy that a question for a capability waits so long. @default 0 */
  readonly deskDelayMs?: number;
  /** What the process of that name takes the cluster's time to be. @default the clock's */
  readonly time?: (name: string, clock: FakeClock) => ClusterTime;
  /** Nodes also share what lies in {@link BORROWED} on their disks. @default false */
  readonly borrows?: boolean;
  /** Where supernodes keep blobs. @default nowhere */
  readonly objects?: ObjectStore;
  /** Of the process of that name. @default none */
  readonly limits?: (name: string) => ConstructorParameters<typeof Limits>[1];
  /** Of the process of that name. @default none */
  readonly tracer?: (name: string) => Tracer | undefined;
}

/**
 * A whole cluster in one process: real engines, stores and tracker decisions over in-memory disks, network, tracker
 * and registry, on a clock that only moves when everything has settled. Same seed, same run: compare `traceHash`.
 */
export class MemoryCluster {
  readonly clock = new FakeClock();
  readonly rng: Rng;
  readonly network: MemoryNetwork;
  readonly tracker: MemoryTracker;
  readonly origin: MemoryOrigin;
  readonly nodes: Member<PeerEngine>[] = [];
  readonly supernodes: Member<SeedEngine>[] = [];
  readonly events: { readonly atMs: number; readonly who: string; readonly event: TraceEvent }[] = [];
  /** Names of processes that do not reach the registry. */
  readonly cutOff = new Set<string>();
  /** Names of processes to which the registry sends this blob with a bit flipped. */
  readonly liedTo = new Map<string, Digest>();
  readonly #trace = createHash('sha256');
  readonly #options: ClusterOptions;
  #authority: ClusterAuthority | undefined;
  /** Of the tracker. */
  #signatures: Signatures | undefined;

  private constructor(options: ClusterOptions) {
    this.#options = options;
    this.rng = createRng(options.seed);
    const clock = this.clock;
    this.network = createMemoryNetwork({ clock, rng: this.rng }, { latencyMs: 0.5, jitterMs: 0.3 });
    const createChooser = (): TrackerCore => this.#createChooser();
    this.tracker = new MemoryTracker({ clock, createChooser }, { latencyMs: 1 });
    const bytesPerSecond = options.originBytesPerSecond ?? 50 * MIB;
    this.origin = new MemoryOrigin({ clock, latencyMs: options.originLatencyMs ?? 5, bytesPerSecond });
  }

  static async start(options: ClusterOptions): Promise<MemoryCluster> {
    const cluster = new MemoryCluster(options);
    if (options.identities === true) {
      cluster.#authority = await testAuthority();
      cluster.#signatures = new Signatures(
        steadyCredentials((await testMember(cluster.#authority, 'tracker')).tls),
      );
    }
    for (let i = 0; i < options.supernodes; i++) {
      cluster.supernodes.push(await cluster.addSupernode(`super${i}`, i));
    }
    for (let i = 0; i < options.nodes; i++) cluster.nodes.push(await cluster.addNode(`node${i}`, i));
    await cluster.run(10);
    return cluster;
  }

  #createChooser(): TrackerCore {
    const core = new TrackerCore({}, this.rng);
    const lease = core.lease.bind(core);
    core.lease = (id, wish, now) => {
      const answer = lease(id, wish, now);
      if (answer.kind === 'refused' || this.#signatures === undefined) return answer;
      const warrant = warrantPapers(this.#signatures, { digest: wish.digest, node: id, atMs: now });
      return { ...answer, warrant };
    };
    return core;
  }

  async addSupernode(name: string, index = 0): Promise<Member<SeedEngine>> {
    const sites = this.#options.sites ?? [''];
    return await this.#addSupernode(name, sites[index % sites.length] ?? '');
  }

  async #addSupernode(name: string, zone: string, found: Found = {}): Promise<Member<SeedEngine>> {
    return await this.#add(
      name,
      'supernode',
      zone,
      (deps) => {
        const { deskHabits, objects } = this.#options;
        return new SeedEngine({ ...deps, objects }, {}, deskHabits);
      },
      found,
    );
  }

  /** Its process is killed, and there again after so long, by the same name and with what was on its disk. */
  async restartSupernode({ deps, disk, engine, keyValue, name }: Member<SeedEngine>, afterMs: number) {
    const { id, zone } = deps.self();
    const found = { id, disk: disk.crash(), keyValue: keyValue.crash(Number.POSITIVE_INFINITY) };
    this.network.crash(name);
    void deps.discovery.close();
    void engine.close();
    await this.run(afterMs);
    this.network.heal(name);
    return await this.#addSupernode(name, zone, found);
  }

  async addNode(name: string, index = 0, disk = createMemoryDisk()): Promise<Member<PeerEngine>> {
    const zones = this.#options.zones ?? [''];
    return await this.#add(
      name,
      'node',
      zones[index % zones.length] ?? '',
      (deps) => new PeerEngine(deps, {}, this.#options.habits),
      { disk },
    );
  }

  async #add<E extends PeerEngine | SeedEngine>(
    name: string,
    role: Role,
    zone: string,
    create: (deps: EngineDeps) => E,
    found: Found = {},
  ): Promise<Member<E>> {
    const { clock, rng } = this;
    const { disk = createMemoryDisk(), keyValue = createMemoryKeyValue() } = found;
    const rate = this.#options.nodeBytesPerSecond ?? 100 * MIB;
    const member = this.#authority === undefined ? undefined : await testMember(this.#authority, role);
    const credentials = member === undefined ? undefined : steadyCredentials(member.tls);
    const id = credentials?.id ?? found.id ?? randomHex(rng, 20);
    const self: PeerInfo = { id, role, host: name, port: PORT, zone };
    const proved =
      member === undefined
        ? {}
        : { member: { id, role, fingerprint: fingerprintOf(member.certificate).toString('hex') } };
    const rates = { upBytesPerSecond: rate, downBytesPerSecond: rate };
    const network = this.network.host(name, { ...rates, ...proved });
    const vouching =
      credentials === undefined
        ? undefined
        : new Vouching(new Signatures(credentials), { warrantsGiven: () => this.tracker.reachable });
    const log = silentLog();
    const wallClockMs = (): number => clock.now();
    const time = this.#options.time?.(name, clock);
    const clusterTimeMs = (): number => time?.nowMs() ?? clock.now();
    const own = await openBlobStore({ disk, keyValue, log, clock, wallClockMs, folder: `/${name}` });
    const borrowed =
      this.#options.borrows === true &&
      (await openBorrowedBlobs({ disk, clock, rng, log, folder: BORROWED }));
    const store = borrowed === false ? own : layerStores(own, borrowed, log);
    const trace = (atMs: number, event: TraceEvent): void => {
      this.events.push({ atMs, who: name, event });
      this.#trace.update(`${atMs} ${name} ${JSON.stringify(event)}\n`);
    };
    const limits = new Limits(clock, this.#options.limits?.(name));
    const origin = this.origin.client();
    const readBlob: typeof origin.readBlob = async (read, asked) => {
      if (this.cutOff.has(name)) {
        throw new DamselflyError('UPSTREAM_UNREACHABLE', 'no way to the registry');
      }
      const body = await origin.readBlob(read, asked);
      return this.liedTo.get(name) === read.digest ? { ...body, bytes: spoilt(body.bytes) } : body;
    };
    const metrics = createMetrics({ defaults: false });
    const grants =
      vouching === undefined || this.#options.capabilities !== true
        ? undefined
        : new Grants({
            ...{ signatures: vouching.signatures, log, metrics, clock },
            wallClockMs: clusterTimeMs,
          });
    const deps = {
      self: () => self,
      network,
      discovery: this.tracker.connect(self),
      store,
      origin: pacedOrigin({ ...origin, readBlob }, limits),
      limits,
      pool: createBufferPool({ budgetBytes: 64 * MIB }),
      clock,
      rng,
      log,
      metrics,
      grants,
      trace,
      tracer: this.#options.tracer?.(name),
      wallClockMs,
      clusterTimeMs,
      vouching,
    };
    const engine = create(deps);
    await network.listen(
      { host: name, port: PORT },
      {
        link: (link) => engine.link(link),
        piece: (asked) => engine.piece(asked),
        smallBlobs: (asked, options) => engine.smallBlobs(asked, options),
        ...(engine instanceof SeedEngine
          ? {
              capability: async (...asked: Parameters<SeedEngine['capability']>) => {
                const { deskDelayMs = 0 } = this.#options;
                await new Promise<void>((resolve) => this.clock.after(deskDelayMs, resolve));
                return await engine.capability(...asked);
              },
            }
          : {}),
      },
    );
    engine.start();
    return { name, engine, disk, keyValue, deps };
  }

  get traceHash(): string {
    return this.#trace.copy().digest('hex');
  }

  /** Random bytes in the registry. */
  blob(size: number): Digest {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 4) {
      const word = this.rng.int(2 ** 32);
      for (let byte = 0; byte < 4 && at + byte < size; byte++) {
        bytes[at + byte] = (word >>> (8 * byte)) & 0xff;
      }
    }
    return this.origin.add(bytes);
  }

  /** A client of this node reads the whole blob. @returns the digest of what it got */
  async pull(
    node: Member<PeerEngine>,
    digest: Digest,
    size: number,
    repository = 'team/app',
  ): Promise<Digest> {
    const chunks: Uint8Array[] = [];
    const origin = { upstream: 'memory.test', repository };
    const signal = new AbortController().signal;
    for await (const chunk of node.engine.open({ digest, size, origin }, { signal })) {
      chunks.push(Uint8Array.from(chunk));
    }
    return digestOf(Buffer.concat(chunks));
  }

  /** Lets `ms` of the cluster's time pass. */
  async run(ms: number): Promise<void> {
    const until = this.clock.now() + ms;
    do await settled();
    while (this.clock.advanceToNext(until));
  }

  /** Lets time pass until the promise has settled. @throws when it does not within `limitMs` of the cluster's time */
  async until<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    let done = false;
    const finish = (): void => {
      done = true;
    };
    promise.then(finish, finish);
    const deadline = this.clock.now() + limitMs;
    for (;;) {
      await settled();
      if (done) return await promise;
      if (!this.clock.advanceToNext(deadline)) {
        throw new Error(`not done after ${limitMs} ms of cluster time`);
      }
    }
  }

  /** The machine is gone, as after a power cut. */
  crash(member: Member<PeerEngine> | Member<SeedEngine>): void {
    this.network.crash(member.name);
    void member.deps.discovery.close();
    // The process is gone with it, and with the process what it reads from the registry.
    void member.engine.close();
  }
}

/** Every promise that can go on without time passing has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The same bytes, but for the first bit. */
async function* spoilt(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let first = true;
  for await (const chunk of bytes) {
    const copy = Uint8Array.from(chunk);
    if (first) copy[0] = (copy[0] ?? 0) ^ 1;
    first = false;
    yield copy;
  }
}

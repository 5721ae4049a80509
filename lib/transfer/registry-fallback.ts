import { abortedError, DamselflyError, describeError } from '../core/errors.ts';
import type { PeerInfo } from '../core/node.ts';
import { hash53 } from '../core/rendezvous.ts';
import type { Discovery } from '../discovery/discovery.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Trace } from '../observe/trace.ts';
import { isWorthRetrying, type OriginClient } from '../origin/origin-client.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import { type Rng, randomHex } from '../runtime/rng.ts';
import { SlowSwarm } from '../swarm/hedge.ts';
import { stepsAside, stepsIn, takesItself, type Waiting } from '../swarm/patience.ts';
import type { BufferPool } from './buffer-pool.ts';
import { FallbackPlan, type FallbackRun } from './fallback-plan.ts';
import type { Limits } from './limits.ts';
import type { Neighbour } from './neighbour.ts';
import type { PieceSink } from './piece-sink.ts';
import { type HeldLease, ReadLeases, type RefusedLease } from './read-leases.ts';
import { readRun } from './read-run.ts';
import type { SharedBlob } from './shared-blob.ts';

const ATTEMPTS = 5;
const FIRST_RETRY_MS = 250;
/** Others of no use to us are changed no sooner than this again. */
const STALLED_AGAIN_MS = 2000;
/** After a look that found nothing to read. */
const LOOK_AGAIN_MS = 250;

export interface FallbackDeps {
  readonly discovery: Pick<Discovery, 'leases'>;
  readonly origin: Pick<OriginClient, 'readBlob'>;
  readonly pool: BufferPool;
  readonly limits: Pick<Limits, 'download' | 'registry'>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
}

export interface FallbackHost {
  selfId(): string;
  reserve(blob: SharedBlob, piece: number): boolean;
  unreserve(blob: SharedBlob, piece: number): void;
  obtained(blob: SharedBlob, piece: number): void;
  inFlight(blob: SharedBlob): number;
  holders(blob: SharedBlob, piece: number): number;
  sharers(blob: SharedBlob): readonly Neighbour[];
  supernodeExpected(): boolean;
  /** A tracker that can be reached has yet to say who shares the blob. */
  answerOwed(blob: SharedBlob): boolean;
  /** A supernode that owns the blob is connected and shares it. */
  seeded(blob: SharedBlob): boolean;
  /** When bytes of the blob last came from a peer, milliseconds. */
  swarmMovedMs(blob: SharedBlob): number;
  /** All download slots work for other blobs. */
  busyElsewhere(blob: SharedBlob): boolean;
  /** A client waits for pieces of any blob. */
  clientsWait(): boolean;
  /** The node holds, or is about to read, what we lack of the blob. */
  introduce(blob: SharedBlob, peer: PeerInfo): void;
}

/** `aside`: what the client needs next, although others should bring it. Else: what nobody else reads. */
type Reason = 'stalled' | 'no-peers' | 'supernode-failed' | 'hedge' | 'aside' | 'last-resort';

interface Considered {
  /** Not looked at again before. */
  notBeforeMs: number;
  /** When the tracker was last told that the neighbours of the blob are of no use. */
  toldMs: number;
}

/**
 * The way out when the swarm does not deliver: the node reads missing pieces from the registry by Range while its
 * client notices nothing, and shares them like any other. Each stripe is read under a lease, so that all nodes together
 * read a blob about once; where that does not help in time, a few at once read what their own clients need next.
 */
export class RegistryFallback {
  readonly #deps: FallbackDeps;
  readonly #sink: PieceSink;
  readonly #host: FallbackHost;
  readonly #plan: FallbackPlan;
  readonly #leases: ReadLeases;
  readonly #slowSwarm = new SlowSwarm();
  readonly #running = new Set<SharedBlob>();
  readonly #considered = new WeakMap<SharedBlob, Considered>();
  readonly #ending = new AbortController();

  constructor(deps: FallbackDeps, sink: PieceSink, host: FallbackHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
    this.#plan = new FallbackPlan(host);
    this.#leases = new ReadLeases(deps);
  }

  /** To be called about every 50 ms: reads past a swarm that is far slower than the registry. */
  tick(blobs: readonly SharedBlob[]): void {
    const { clock, limits } = this.#deps;
    const slow = this.#slowSwarm.look(clock.now(), {
      clientsWait: this.#host.clientsWait(),
      receivedBytes: limits.download.totalBytes,
      registryBytesPerSecond: limits.registry.peakBytesPerSecond,
    });
    if (!slow) return;
    for (const blob of blobs) if (blob.readers > 0 && this.#isOpen(blob)) this.#start(blob, 'hedge');
  }

  /** Steps in when a client waits and nothing has come for too long. @returns whether its neighbours are of no use */
  consider(blob: SharedBlob): boolean {
    if (!this.#isWanted(blob) || !this.#isOpen(blob)) return false;
    const now = this.#deps.clock.now();
    const waiting = this.#waiting(blob, now);
    if (!stepsIn(waiting, this.#share(blob))) return false;
    const considered = this.#considered.get(blob) ?? { notBeforeMs: 0, toldMs: Number.NEGATIVE_INFINITY };
    this.#considered.set(blob, considered);
    if (now < considered.notBeforeMs) return false;
    // Slow is not failed: past a living supernode only the client's next pieces are read.
    const young = blob.owned && blob.stored.have.count === 0 && waiting.company;
    const slow = this.#host.seeded(blob) || (young && !waiting.owed);
    const reason = slow ? 'aside' : waiting.company ? 'stalled' : 'no-peers';
    this.#start(blob, takesItself(waiting) ? 'last-resort' : reason);
    if (now - considered.toldMs < STALLED_AGAIN_MS) return false;
    considered.toldMs = now;
    return true;
  }

  /** The supernode cannot read the blob: the node tries under its own caller's right, at once. */
  supernodeFailed(blob: SharedBlob): void {
    if (this.#isWanted(blob) && this.#isOpen(blob)) this.#start(blob, 'supernode-failed');
  }

  /** Our own disk failed: counted here, carried out by the reader. */
  noteDirect(error: DamselflyError): void {
    this.#deps.metrics.fallback.inc({ reason: 'store' });
    this.#deps.log.warn(
      { error: describeError(error) },
      'the store fails: reading past it from the registry',
    );
  }

  close(): void {
    this.#ending.abort(abortedError(AbortSignal.abort('stopping')));
  }

  /** A client reads it; or it is fetched ahead of any, which those who read others go before. */
  #isWanted(blob: SharedBlob): boolean {
    return blob.readers > 0 || (blob.prefetched && !this.#host.clientsWait());
  }

  #isOpen(blob: SharedBlob): boolean {
    const { failure, origin, stored } = blob;
    return !stored.complete && failure === undefined && origin !== undefined && !this.#running.has(blob);
  }

  #waiting(blob: SharedBlob, now: number): Waiting {
    const host = this.#host;
    const company = host.inFlight(blob) > 0 || host.sharers(blob).length > 0 || host.supernodeExpected();
    // Slots that work for other blobs are no sign of trouble either, until this blob's client has waited too long.
    // And in a large crowd on slow links the first piece takes its time: were everybody to step in, the registry would
    // have the crowd that the supernode is there to spare it.
    const young = blob.owned && blob.stored.have.count === 0;
    return {
      company,
      patient: young || host.seeded(blob) || host.busyElsewhere(blob),
      owed: host.answerOwed(blob),
      idleMs: now - blob.lastProgressMs,
      answeredMs: now - blob.answeredMs,
    };
  }

  #start(blob: SharedBlob, reason: Reason): void {
    this.#running.add(blob);
    void this.#run(blob, reason)
      .then((retryMs) => {
        const considered = this.#considered.get(blob);
        if (considered !== undefined) considered.notBeforeMs = this.#deps.clock.now() + retryMs;
      })
      .finally(() => this.#running.delete(blob));
  }

  /** @returns how long to wait before the next look, milliseconds */
  async #run(blob: SharedBlob, reason: Reason): Promise<number> {
    const generation = randomHex(this.#deps.rng, 8);
    const startedMs = this.#deps.clock.now();
    let why = reason;
    let told = false;
    for (let attempt = 0; this.#goesOn(blob, startedMs); ) {
      const aside = why === 'aside' || why === 'last-resort';
      // It was only to be helped along.
      if (aside && told && this.#host.swarmMovedMs(blob) > startedMs) break;
      const taken = await this.#take(blob, why);
      if (taken.kind === 'refused') {
        for (const peer of taken.holders) this.#host.introduce(blob, peer);
        const late = stepsAside(this.#waiting(blob, this.#deps.clock.now()));
        if (aside || why === 'hedge' || !late) return taken.retryMs;
        why = 'aside';
        continue;
      }
      if (!told) this.#tell(blob, why);
      const before = blob.stored.have.count;
      const failed = await this.#read(blob, taken, { aside, first: !told, generation });
      told = true;
      if (failed === undefined) {
        attempt = 0;
        // What is missing is on its way from peers.
        if (why === 'hedge' || (blob.stored.have.count === before && !taken.signal.aborted)) break;
        continue;
      }
      if (++attempt >= ATTEMPTS || !isWorthRetrying(failed)) {
        blob.failure =
          failed instanceof DamselflyError ? failed : new DamselflyError('INTERNAL', describeError(failed));
        blob.changed();
        break;
      }
      await delay(this.#deps.clock, FIRST_RETRY_MS * 2 ** attempt, this.#ending.signal).catch(() => {});
    }
    return LOOK_AGAIN_MS;
  }

  #goesOn(blob: SharedBlob, startedMs: number): boolean {
    const supernodeBack = blob.lastSupernodeMs > startedMs;
    const { failure, retired, stored } = blob;
    if (this.#ending.signal.aborted || retired || failure !== undefined) return false;
    return this.#isWanted(blob) && !stored.complete && !supernodeBack;
  }

  async #take(blob: SharedBlob, why: Reason): Promise<HeldLease | RefusedLease> {
    const aside = why === 'aside' || why === 'last-resort';
    const stripes = this.#plan.stripes(blob, aside);
    if (stripes.length === 0) return { kind: 'refused', retryMs: LOOK_AGAIN_MS, holders: [] };
    if (why === 'last-resort') return withoutLease(stripes[0] ?? 0);
    const nodes = this.#host.sharers(blob).filter(({ peer }) => peer.role === 'node');
    return await this.#leases.take(
      { digest: blob.digest, upstream: blob.origin?.upstream ?? '', stripes, aside },
      {
        self: this.#host.selfId(),
        sharers: nodes.map(({ peer }) => peer.id),
        digest: blob.digest,
        waitedMs: this.#deps.clock.now() - blob.lastProgressMs,
      },
    );
  }

  /** Reads what the lease is for, then gives it back. @returns what the registry failed with, if it did */
  async #read(
    blob: SharedBlob,
    lease: HeldLease,
    {
      aside,
      first,
      generation,
    }: { readonly aside: boolean; readonly first: boolean; readonly generation: string },
  ): Promise<unknown> {
    const signal = AbortSignal.any([this.#ending.signal, lease.signal]);
    const before = blob.stored.have.count;
    let failed: unknown;
    try {
      const next = (): FallbackRun | undefined =>
        aside ? this.#plan.window(blob, first) : this.#plan.nextRun(blob, lease.stripe);
      for (let run = next(); run !== undefined && !signal.aborted; run = aside ? undefined : next()) {
        await this.#readRun(blob, run, generation, lease, signal);
      }
    } catch (error) {
      // Without its lease, or at the end of everything, a read that breaks off has not failed.
      if (!signal.aborted) failed = error;
    }
    lease.release(failed === undefined && !signal.aborted && blob.stored.have.count > before);
    if (failed !== undefined) {
      this.#deps.log.warn({ digest: blob.digest, error: describeError(failed) }, 'registry read failed');
    }
    return failed;
  }

  async #readRun(
    blob: SharedBlob,
    run: FallbackRun,
    generation: string,
    lease: HeldLease,
    signal: AbortSignal,
  ): Promise<void> {
    const progress = {
      moved: () => lease.progressed(),
      obtained: (piece: number) => this.#host.obtained(blob, piece),
    };
    try {
      await readRun({ ...this.#deps, sink: this.#sink }, { blob, ...run, generation }, progress, signal);
    } finally {
      for (let piece = run.first; piece <= run.last; piece++) this.#host.unreserve(blob, piece);
    }
  }

  #tell(blob: SharedBlob, reason: Reason): void {
    const { clock, log, metrics, trace } = this.#deps;
    metrics.fallback.inc({ reason });
    trace?.(clock.now(), { kind: 'fallback', digest: blob.digest, reason });
    log.warn(
      { digest: blob.digest, reason, held: blob.stored.have.count, pieces: blob.info.pieces },
      'reading from the registry',
    );
  }

  /** A number in [0, 1) that differs from node to node and blob to blob. */
  #share(blob: SharedBlob): number {
    return hash53(`${this.#host.selfId()}\n${blob.digest}\nwait`) / 2 ** 53;
  }
}

function withoutLease(stripe: number): HeldLease {
  return { kind: 'held', stripe, signal: new AbortController().signal, progressed() {}, release() {} };
}

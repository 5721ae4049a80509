import { abortedError, DamselflyError, describeError, hasCode } from '../../core/errors.ts';
import { hash53 } from '../../core/rendezvous.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Trace } from '../../observe/trace.ts';
import { attemptsWorth, type OriginClient } from '../../origin/origin-client.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import { FallbackPlan } from '../../swarm/fallback-plan.ts';
import { SlowSwarm } from '../../swarm/hedge.ts';
import {
  isLeftWaiting,
  isOvertaken,
  isSilent,
  looksAwayMs,
  seeksSupernode,
  stepsAside,
  stepsIn,
  takesItself,
  type Waiting,
} from '../../swarm/patience.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import { isGranted, type SharedBlob } from '../blobs/shared-blob.ts';
import type { BufferPool } from '../buffer-pool.ts';
import type { Limits } from '../limits.ts';
import { OneRead, type Vouching } from '../proofs/vouching.ts';
import type { FallbackHost } from './fallback-host.ts';
import { type Mode, modeOf, type Reason } from './fallback-reason.ts';
import { LeasedReads } from './leased-reads.ts';
import { type HeldLease, ReadLeases, type RefusedLease, unleased } from './read-leases.ts';

/** Reads in a row that brought nothing because their lease was lost. */
const ATTEMPTS = 5;
const FIRST_RETRY_MS = 250;
/** Others of no use to us are changed no sooner than this again. */
const STALLED_AGAIN_MS = 2000;
/** After the registry could not be read, while peers give what is missing. */
const LOST_WAY_MS = 2000;
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
  readonly vouching?: Vouching | undefined;
}

interface Considered {
  /** Not looked at again before. */
  notBeforeMs: number;
  /** When the tracker was last told that the neighbours of the blob are of no use. */
  toldMs: number;
  /** When it first read past a swarm that was slow, since that last gave something of the blob. */
  asideMs: number;
}

/**
 * The way out when the swarm does not deliver: the node reads missing pieces from the registry by Range while its
 * client notices nothing, and shares them like any other. Each stripe is read under a lease, so that all nodes together
 * read a blob about once; where that does not help in time, a few at once read what their own clients need next.
 */
export class RegistryFallback {
  readonly #deps: FallbackDeps;
  readonly #host: FallbackHost;
  readonly #plan: FallbackPlan<SharedBlob>;
  readonly #leases: ReadLeases;
  readonly #leased: LeasedReads;
  readonly #slowSwarm = new SlowSwarm();
  readonly #running = new Set<SharedBlob>();
  readonly #considered = new WeakMap<SharedBlob, Considered>();
  readonly #ending = new AbortController();

  constructor(deps: FallbackDeps, sink: PieceSink, host: FallbackHost) {
    this.#deps = deps;
    this.#host = host;
    this.#plan = new FallbackPlan(host);
    this.#leases = new ReadLeases(deps);
    this.#leased = new LeasedReads({ ...deps, sink }, host, this.#plan);
  }

  /** To be called about every 50 ms: reads past a swarm that is far slower than the registry. */
  tick(blobs: readonly SharedBlob[]): void {
    const { clock, limits } = this.#deps;
    const slow = this.#slowSwarm.look(clock.now(), {
      clientsWait: this.#host.clientsWait(),
      receivedBytes: limits.download.totalBytes,
      registryBytesPerSecond: limits.registry.sustainedBytesPerSecond,
    });
    if (!slow) return;
    for (const blob of blobs) {
      if (this.#host.mayHedge(blob) && this.#isOpen(blob)) this.#start(blob, 'hedge');
    }
  }

  /** Steps in when a client waits and nothing has come for too long. @returns whether its neighbours are of no use */
  consider(blob: SharedBlob): boolean {
    if (!this.#isWanted(blob) || !this.#isOpen(blob)) return false;
    const now = this.#deps.clock.now();
    if (blob.peerRight === 'none') {
      if (blob.passing !== undefined) this.#endPassing(blob);
      else if (now >= this.#consideredOf(blob).notBeforeMs) this.#start(blob, 'no-capability');
      return false;
    }
    if (blob.peerRight === 'late') {
      this.#considerLate(blob, now);
      return false;
    }
    const waiting = this.#waiting(blob, now);
    if (!stepsIn(waiting, this.#share(blob))) {
      if (this.#isOvertaken(blob, now)) this.#start(blob, 'aside');
      const seeks = blob.owned && !this.#host.seeded(blob) && seeksSupernode(waiting, this.#share(blob));
      return seeks && this.#tells(blob, now);
    }
    if (blob.passing !== undefined) {
      if (!waiting.company || stepsAside(waiting)) this.#endPassing(blob);
      return false;
    }
    const considered = this.#consideredOf(blob);
    if (now < considered.notBeforeMs) return false;
    // Slow is not failed: past a living supernode only the client's next piece is read.
    const young = this.#isYoung(blob) && waiting.company;
    const slow = (this.#host.seeded(blob) || (young && !waiting.owed)) && !this.#isSilent(blob);
    const reason = slow ? 'aside' : waiting.company ? 'stalled' : 'no-peers';
    this.#start(blob, blob.readers > 0 && takesItself(waiting) ? 'last-resort' : reason);
    return this.#tells(blob, now);
  }

  /** @returns whether the tracker is told now that the neighbours are of no use: not again and again */
  #tells(blob: SharedBlob, now: number): boolean {
    const considered = this.#consideredOf(blob);
    if (now - considered.toldMs < STALLED_AGAIN_MS) return false;
    considered.toldMs = now;
    return true;
  }

  /** Supernodes are there and have yet to say whether we may have it: a crowd that read for itself would be all the load. */
  #considerLate(blob: SharedBlob, now: number): void {
    const idleMs = now - blob.lastProgressMs;
    const left = isLeftWaiting(idleMs, this.#host.supernodeSpeaks(), this.#share(blob));
    if (!left || now < this.#consideredOf(blob).notBeforeMs) return;
    // Where there are no parts, nothing but the beginning is read aside.
    const alone = this.#leased.isUndivided(blob) && blob.readers > 0 && takesItself({ idleMs });
    if (blob.passing === undefined) this.#start(blob, alone ? 'last-resort' : 'aside');
    else this.#endPassing(blob);
  }

  /** The supernode cannot read the blob: the node tries under its own caller's right, at once. */
  supernodeFailed(blob: SharedBlob): void {
    if (!this.#isWanted(blob) || !this.#isOpen(blob)) return;
    if (blob.passing === undefined) this.#start(blob, 'supernode-failed');
    else this.#endPassing(blob);
  }

  /** Our own disk failed: counted here, carried out by the reader. */
  noteDirect(error: DamselflyError): void {
    this.#deps.metrics.fallback.inc({ reason: 'store' });
    this.#deps.log.warn(
      { error: describeError(error) },
      'the store fails: reading past it from the registry',
    );
  }

  /** What we read would not be kept for others: the client goes on by itself, straight from the registry. */
  #endPassing(blob: SharedBlob): void {
    const { digest } = blob;
    blob.failure = new DamselflyError('STORE_FULL', 'the swarm does not bring what cannot be stored', {
      digest,
    });
    blob.changed();
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
    const company = host.inFlight(blob) > 0 || host.sharers(blob).length > 0 || host.supernodeExpected(blob);
    // Slots that work for other blobs are no sign of trouble either, until this blob's client has waited too long.
    // And in a large crowd on slow links the first piece takes its time: were everybody to step in, the registry would
    // have the crowd that the supernode is there to spare it.
    const young = this.#isYoung(blob);
    return {
      company,
      patient: ((young || host.seeded(blob)) && !this.#isSilent(blob)) || host.busyElsewhere(blob),
      owed: host.answerOwed(blob),
      idleMs: now - blob.lastProgressMs,
      answeredMs: now - blob.answeredMs,
    };
  }

  /** Other pieces come, but for too long nobody sends the one that the client waits for. */
  #isOvertaken(blob: SharedBlob, now: number): boolean {
    const { cursor, passing, readers, waitingSinceMs } = blob;
    if (readers === 0 || passing !== undefined || now < this.#consideredOf(blob).notBeforeMs) return false;
    return isOvertaken(now - waitingSinceMs, this.#share(blob)) && this.#host.wants(blob, cursor);
  }

  #looksAwayMs(blob: SharedBlob, retryMs: number): number {
    const { readers, waitingSinceMs } = blob;
    const waitedMs = readers === 0 ? 0 : this.#deps.clock.now() - waitingSinceMs;
    return looksAwayMs(retryMs, waitedMs, this.#share(blob));
  }

  /** Its supernode has yet to send the first piece. */
  #isYoung({ owned, peerRight, stored }: SharedBlob): boolean {
    return owned && peerRight === 'shown' && stored.have.count === 0;
  }

  #isSilent(blob: SharedBlob): boolean {
    const { asideMs } = this.#consideredOf(blob);
    if (this.#host.swarmMovedMs(blob) >= asideMs) return false;
    return isSilent(this.#deps.clock.now(), asideMs, this.#host.anyMovedMs());
  }

  /** What the node reads itself, past the others, is no sign that whoever's turn it is reads. */
  #lastGivenMs(blob: SharedBlob): number {
    const givenMs = Math.max(this.#host.swarmMovedMs(blob), blob.askedOfPeersMs);
    return Math.min(blob.lastProgressMs, givenMs);
  }

  #noteAside(blob: SharedBlob): void {
    const considered = this.#consideredOf(blob);
    const { asideMs } = considered;
    if (Number.isFinite(asideMs) && this.#host.swarmMovedMs(blob) < asideMs) return;
    considered.asideMs = this.#deps.clock.now();
  }

  #consideredOf(blob: SharedBlob): Considered {
    const never = Number.NEGATIVE_INFINITY;
    const known = this.#considered.get(blob) ?? { notBeforeMs: never, toldMs: never, asideMs: never };
    this.#considered.set(blob, known);
    return known;
  }

  #start(blob: SharedBlob, reason: Reason): void {
    this.#running.add(blob);
    void this.#run(blob, reason)
      .catch((error: unknown) => {
        this.#deps.log.error({ digest: blob.digest, error: describeError(error) }, 'fallback failed');
        return LOOK_AGAIN_MS;
      })
      .then((retryMs) => {
        // That somebody else hedges helps no client that nothing comes to.
        if (reason !== 'hedge') this.#consideredOf(blob).notBeforeMs = this.#deps.clock.now() + retryMs;
      })
      .finally(() => this.#running.delete(blob));
  }

  /** @returns how long to wait before the next look, milliseconds */
  async #run(blob: SharedBlob, reason: Reason): Promise<number> {
    const read = new OneRead(this.#deps, blob.info);
    const startedMs = this.#deps.clock.now();
    let mode = modeOf(reason, blob.readers > 0);
    // Whether somebody reads all of it for everybody, whoever gives leases knows.
    if (mode === 'aside' && this.#leased.costsAll(blob) && isGranted(blob.peerRight)) mode = 'lease';
    let told = false;
    let steppedAside = false;
    const silent = this.#isSilent(blob);
    for (let attempt = 0; this.#goesOn(blob, startedMs); ) {
      // Peers give it to us after all.
      if (reason === 'no-capability' && blob.peerRight !== 'none') break;
      // It was only to be helped along.
      if (steppedAside && told && this.#host.swarmMovedMs(blob) > startedMs) break;
      const taken = await this.#take(blob, mode, reason);
      if (taken.kind === 'refused') {
        for (const peer of taken.holders) this.#host.introduce(blob, peer);
        const now = this.#deps.clock.now();
        const waiting = this.#waiting(blob, now);
        const overtaken = stepsAside(waiting) || this.#isOvertaken(blob, now);
        const spared = this.#leased.costsAll(blob) && (taken.held || !this.#leased.isForsaken(blob));
        const late = !spared && (silent || (steppedAside ? !waiting.company : overtaken));
        if (mode !== 'lease' || reason === 'hedge' || !late) return this.#looksAwayMs(blob, taken.retryMs);
        mode = 'aside';
        continue;
      }
      steppedAside ||= mode !== 'lease';
      if (mode === 'aside') this.#noteAside(blob);
      const before = blob.stored.have.count;
      const begins = (): void => {
        if (!told) this.#tell(blob, mode === 'aside' ? 'aside' : reason);
        told = true;
      };
      const reading = { blob, lease: taken, mode, reason, first: !told, read, begins };
      const failed = await this.#leased.read(reading, this.#ending.signal);
      if (failed === undefined) {
        const moved = blob.stored.have.count > before;
        // What is missing is on its way from peers; or the registry gave nothing until the lease was lost.
        if (!moved && (!taken.signal.aborted || ++attempt >= ATTEMPTS)) break;
        if (moved) attempt = 0;
        if (reason === 'hedge' || reason === 'aside') break;
        // What others should have brought: from here on one node reads for all that wait.
        if (mode === 'aside') mode = 'lease';
        continue;
      }
      // The read was found wrong meanwhile.
      if (hasCode(failed, 'ABORTED')) break;
      if (++attempt >= attemptsWorth(failed)) {
        // It may be only our own way to the registry that is lost, and others bring what they read.
        if (this.#host.swarmMovedMs(blob) > startedMs) return LOST_WAY_MS;
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
    const { failure, origin, retired, stored } = blob;
    if (this.#ending.signal.aborted || retired || failure !== undefined) return false;
    // Gone when all of it turned out wrong; the next reader brings it.
    if (origin === undefined) return false;
    return this.#isWanted(blob) && !stored.complete && blob.lastSupernodeMs <= startedMs;
  }

  async #take(blob: SharedBlob, mode: Mode, reason: Reason): Promise<HeldLease | RefusedLease> {
    const aside = mode !== 'lease';
    const stripes = this.#plan.stripes(blob, aside);
    if (stripes.length === 0) return { kind: 'refused', retryMs: LOOK_AGAIN_MS, held: false, holders: [] };
    if (mode === 'at-once') return unleased(stripes[0] ?? 0);
    // Where there are no parts to share out, one reads for all.
    const wished = this.#leased.isUndivided(blob) && !aside ? [0] : stripes;
    const nodes = this.#host.sharers(blob).filter(({ peer }) => peer.role === 'node');
    return await this.#leases.take(
      { digest: blob.digest, upstream: blob.origin?.upstream ?? '', stripes: wished, aside },
      {
        self: this.#host.selfId(),
        sharers: nodes.map(({ peer }) => peer.id),
        digest: blob.digest,
        waitedMs: reason === 'hedge' ? 0 : this.#deps.clock.now() - this.#lastGivenMs(blob),
      },
    );
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

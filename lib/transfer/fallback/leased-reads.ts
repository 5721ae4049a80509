import { DamselflyError, describeError } from '../../core/errors.ts';
import type { Logger } from '../../observe/log.ts';
import { every } from '../../runtime/clock.ts';
import type { FallbackPlan, FallbackRun } from '../../swarm/fallback-plan.ts';
import { isForsaken } from '../../swarm/patience.ts';
import { isGranted, type SharedBlob } from '../blobs/shared-blob.ts';
import type { OneRead } from '../proofs/vouching.ts';
import type { FallbackHost } from './fallback-host.ts';
import type { Mode, Reason } from './fallback-reason.ts';
import type { HeldLease } from './read-leases.ts';
import { type ReadRunDeps, readRun } from './read-run.ts';

/** A read of the registry that gives nothing for so long keeps its lease no longer than that lasts. */
const QUIET_MS = 5000;
const ALIVE_EVERY_MS = 500;

export interface LeasedReadsDeps extends ReadRunDeps {
  readonly log: Logger;
}

/** What is read of a blob under one lease. */
export interface LeasedRead {
  readonly blob: SharedBlob;
  readonly lease: HeldLease;
  readonly mode: Mode;
  readonly reason: Reason;
  /** The node has only begun to read past its swarm. */
  readonly first: boolean;
  /** Gives the proofs. */
  readonly read: OneRead;
  /** There is something to read, and it is about to be. */
  begins(): void;
}

/** Registry reads of a node, run by run, for as long as it has the right to them and they are of use. */
export class LeasedReads {
  readonly #deps: LeasedReadsDeps;
  readonly #host: FallbackHost;
  readonly #plan: FallbackPlan<SharedBlob>;
  /** Blobs of which the registry sends no parts. */
  readonly #undivided = new WeakSet<SharedBlob>();

  constructor(deps: LeasedReadsDeps, host: FallbackHost, plan: FallbackPlan<SharedBlob>) {
    this.#deps = deps;
    this.#host = host;
    this.#plan = plan;
  }

  /** Whether the registry sends no parts of the blob: each read of some of it costs as much as one of all. */
  isUndivided(blob: SharedBlob): boolean {
    return this.#undivided.has(blob);
  }

  /** Whether all that is left of the blob would have to be read past the others: where there are no parts. */
  costsAll(blob: SharedBlob): boolean {
    return this.isUndivided(blob) && isLate(blob);
  }

  /** Whether it is read past them all the same. */
  isForsaken({ lastProgressMs, peerRight }: SharedBlob): boolean {
    return isGranted(peerRight) && isForsaken({ idleMs: this.#deps.clock.now() - lastProgressMs });
  }

  /** Reads what the lease is for, then gives it back. @returns what the registry failed with, if it did */
  async read(reading: LeasedRead, ending: AbortSignal): Promise<unknown> {
    const { blob, lease, mode } = reading;
    const signal = AbortSignal.any([ending, lease.signal]);
    const before = blob.stored.have.count;
    const startedMs = this.#deps.clock.now();
    const aside = mode !== 'lease';
    let failed: unknown;
    try {
      for (let goesOn = true; goesOn; ) {
        // The registry is gone when all of it turned out wrong, until the next reader brings it. What is not read must
        // not be reserved either.
        if (blob.origin === undefined || signal.aborted || isBack(reading, startedMs)) break;
        const known = this.isUndivided(blob);
        const run = this.#next(reading);
        if (run === undefined) break;
        reading.begins();
        await this.#readRun(reading, run, startedMs, signal);
        goesOn = !aside || (mode === 'at-once' && this.isUndivided(blob) !== known);
      }
    } catch (error) {
      // Without its lease, or at the end of everything, a read that breaks off has not failed.
      if (!signal.aborted) failed = error;
    }
    // A crowd beside slow or silent supernodes: so few a time, however fast the registry is.
    if (aside && (blob.peerRight === 'late' || this.#host.seeded(blob))) lease.lapse();
    else lease.release(failed === undefined && !signal.aborted && blob.stored.have.count > before);
    if (failed !== undefined) {
      this.#deps.log.warn({ digest: blob.digest, error: describeError(failed) }, 'registry read failed');
    }
    return failed;
  }

  #next({ blob, first, lease, mode, reason }: LeasedRead): FallbackRun | undefined {
    const plan = this.#plan;
    if (mode === 'aside') {
      if (!this.costsAll(blob)) return plan.window(blob, first);
      return this.isForsaken(blob) ? plan.rest(blob, true) : undefined;
    }
    if (this.isUndivided(blob)) {
      return mode === 'lease' && lease.stripe !== 0 ? undefined : plan.rest(blob, mode === 'at-once');
    }
    if (mode === 'lease') return plan.nextRun(blob, lease.stripe);
    return reason === 'no-capability' ? plan.ahead(blob) : plan.window(blob, first);
  }

  async #readRun(
    reading: LeasedRead,
    run: FallbackRun,
    startedMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { blob, lease, mode, read } = reading;
    const { clock } = this.#deps;
    let movedMs = clock.now();
    const useless = new AbortController();
    // A registry may take its time, longest before the first byte: meanwhile the lease says that its holder lives.
    const stopWaiting = every(clock, ALIVE_EVERY_MS, () => {
      if (clock.now() - movedMs < QUIET_MS) lease.progressed();
      const long = mode === 'lease' && this.isUndivided(blob);
      if (isHeld(blob, run) || isGiven(reading) || (long && isBack(reading, startedMs))) {
        useless.abort(new DamselflyError('ABORTED', 'the swarm was faster'));
      }
    });
    const progress = {
      moved: () => {
        movedMs = clock.now();
        lease.progressed();
      },
      obtained: (piece: number) => this.#host.obtained(blob, piece),
      undivided: () => {
        const news = !this.isUndivided(blob);
        this.#undivided.add(blob);
        return news && (mode !== 'aside' || isLate(blob));
      },
    };
    try {
      const either = AbortSignal.any([signal, useless.signal]);
      await readRun(this.#deps, { blob, ...run, read }, progress, either);
    } catch (error) {
      if (!useless.signal.aborted) throw error;
    } finally {
      stopWaiting();
      for (let piece = run.first; piece <= run.last; piece++) this.#host.unreserve(blob, piece);
    }
  }
}

/** Of a registry that sends no parts whoever reads for all has the piece sooner than who begins to read past it. */
function isLate({ cursor }: SharedBlob): boolean {
  return cursor > 0;
}

/** Whether a supernode gives the blob again. */
function isBack({ blob, reason }: LeasedRead, startedMs: number): boolean {
  return reason !== 'hedge' && blob.lastSupernodeMs > startedMs;
}

/** Whether peers give us after all what none of them would. */
function isGiven({ blob, reason }: LeasedRead): boolean {
  return reason === 'no-capability' && blob.peerRight !== 'none';
}

/** Whether every piece of it has come from elsewhere. */
function isHeld({ stored }: SharedBlob, { first, last }: FallbackRun): boolean {
  for (let piece = first; piece <= last; piece++) if (!stored.have.has(piece)) return false;
  return true;
}

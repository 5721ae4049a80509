import { abortedError } from '../core/errors.ts';
import { PeakRate } from '../core/peak-rate.ts';
import { TokenBucket } from '../core/token-bucket.ts';
import type { Clock } from './clock.ts';

/** What a transfer asks before it moves bytes, or after it has moved them. */
export interface Pace {
  /** Most bytes to move at once: each of several transfers then moves at least every 100 ms. */
  readonly quantumBytes: number;
  /**
   * Accounts for bytes. Undefined: go on at once; else when it resolves.
   * @throws ABORTED, and the bytes are not accounted for
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined;
}

/** Less would cost more in calls than it brings in evenness. */
const LEAST_QUANTUM_BYTES = 1024;
/** So many quanta at least make up a burst: those who began before others came took no more than that. */
const QUANTA_PER_BURST = 3;
/** What a source gives in the long run shows over this time: a burst of it comes faster. */
const SUSTAINED_MS = 4000;

interface Waiter {
  readonly bytes: number;
  grant(): void;
}

/**
 * A rate that all transfers of one kind share, in turn: each waits behind those that asked before it, so that
 * transfers which take as much at a time get as much. It can be changed at any time, and knows how fast bytes ever came.
 */
export class RateLimit implements Pace {
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  readonly #peak = new PeakRate();
  readonly #sustained = new PeakRate(SUSTAINED_MS);
  readonly #waiters = new Set<Waiter>();
  #totalBytes = 0;
  #cancelTimer: (() => void) | undefined;

  /** @param bytesPerSecond Infinity = no limit */
  constructor(clock: Clock, bytesPerSecond = Number.POSITIVE_INFINITY) {
    this.#clock = clock;
    this.#bucket = new TokenBucket(bytesPerSecond, clock.now());
  }

  get bytesPerSecond(): number {
    return this.#bucket.bytesPerSecond;
  }

  /** Who waits now waits for the new rate. */
  change(bytesPerSecond: number): void {
    this.#bucket.change(bytesPerSecond, this.#clock.now());
    this.#serve();
  }

  /** The highest rate in any half second of the last ten minutes, bytes per second; 0 = nothing was taken. */
  get peakBytesPerSecond(): number {
    return this.#peak.bytesPerSecond(this.#clock.now());
  }

  /** The highest rate in any four seconds of the last ten minutes, bytes per second; 0 = nothing was taken. */
  get sustainedBytesPerSecond(): number {
    return this.#sustained.bytesPerSecond(this.#clock.now());
  }

  /** All that was ever taken. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  get quantumBytes(): number {
    const { burstBytes } = this.#bucket;
    const quanta = Math.max(QUANTA_PER_BURST, 2 * (this.#waiters.size + 1));
    return Math.max(LEAST_QUANTUM_BYTES, Math.floor(burstBytes / quanta));
  }

  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    if (signal?.aborted === true) return Promise.reject(abortedError(signal));
    const now = this.#clock.now();
    if (this.#waiters.size === 0 && this.#bucket.take(bytes, now)) {
      this.#note(bytes, now);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters.delete(waiter);
        reject(abortedError(signal!));
        // The next one may want less than the one that left.
        this.#serve();
      };
      const waiter: Waiter = {
        bytes,
        grant() {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (this.#waiters.size === 1) this.#serve();
    });
  }

  /** Grants what may pass now, and comes back when the next may. */
  #serve(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const now = this.#clock.now();
    for (const waiter of this.#waiters) {
      if (!this.#bucket.take(waiter.bytes, now)) {
        const waitMs = Math.max(1, Math.ceil(this.#bucket.waitMs(waiter.bytes, now)));
        this.#cancelTimer = this.#clock.after(waitMs, () => this.#serve());
        return;
      }
      this.#waiters.delete(waiter);
      this.#note(waiter.bytes, now);
      waiter.grant();
    }
  }

  #note(bytes: number, now: number): void {
    this.#totalBytes += bytes;
    this.#peak.note(bytes, now);
    this.#sustained.note(bytes, now);
  }
}

import type { Clock } from '../runtime/clock.ts';

/** Clocks of the cluster may differ by so much beyond what this process knows of the difference. */
export const CLOCK_TOLERANCE_MS = 30_000;

/**
 * The time in which everything in the cluster expires: that of its trackers, whatever the clock of this machine says.
 * Of several trackers the median counts. It goes on by the monotonic clock, so that nobody who sets this machine's
 * clock sets the cluster's; until a tracker has said hello it is the machine's own.
 */
export class ClusterTime {
  readonly #clock: Clock;
  readonly #wallClockMs: () => number;
  /** What each tracker's time is ahead of the monotonic clock. */
  readonly #aheadMs = new Map<string, number>();

  constructor(clock: Clock, wallClockMs: () => number) {
    this.#clock = clock;
    this.#wallClockMs = wallClockMs;
  }

  /** Milliseconds since the epoch. */
  nowMs(): number {
    const heard = [...this.#aheadMs.values()].toSorted((a, b) => a - b);
    if (heard.length === 0) return this.#wallClockMs();
    const [low = 0, high = 0] = [heard[(heard.length - 1) >> 1], heard[heard.length >> 1]];
    return this.#clock.now() + (low + high) / 2;
  }

  /**
   * A tracker has told its time.
   * @param askedAtMs when it was asked, of the monotonic clock: it looked at its own halfway between then and now
   */
  heard(tracker: string, theirsMs: number, askedAtMs: number): void {
    if (!Number.isFinite(theirsMs)) return;
    this.#aheadMs.set(tracker, theirsMs - (askedAtMs + this.#clock.now()) / 2);
  }
}

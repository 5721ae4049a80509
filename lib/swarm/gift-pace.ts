/** Weight of the last gift in what is usual: about the last eight count. */
const WEIGHT = 1 / 8;
/** A peer that takes so many times the usual is slow: gifts to it hold our slots, and others wait for what it gets. */
const SLOW = 2;
/** A gift that takes so many times the usual may never be passed on. */
const STUCK = 4;
/** So many gifts for each slot may wait on the line: fewer would leave it idle while offers are answered. */
const WAITING = 1.5;
/** How long the shortest time counts, milliseconds: twice that at most. */
const LEAST_MS = 10_000;

/** How long gifts to one peer take. */
export interface PeerPace {
  /** As a multiple of what is usual. */
  slowness: number;
}

/** How long it takes from a gift of a seed until the peer says that it holds the piece. Times in milliseconds. */
export class GiftPace {
  readonly #stuckMs: number;
  /** What is usual; 0 before the first. */
  #usualMs = 0;
  /** The shortest of late, and of the time before that. */
  #leastMs = Number.POSITIVE_INFINITY;
  #leastBeforeMs = Number.POSITIVE_INFINITY;
  #leastSince = Number.NEGATIVE_INFINITY;

  /** @param stuckMs a gift has so long before another one of the same piece is worth anything */
  constructor(stuckMs: number) {
    this.#stuckMs = stuckMs;
  }

  /** A gift arrived: what is usual for all peers, and for this one, moves a little towards its time. */
  learn(peer: PeerPace, tookMs: number, now: number): void {
    if (now - this.#leastSince >= LEAST_MS) {
      this.#leastBeforeMs = this.#leastMs;
      this.#leastMs = Number.POSITIVE_INFINITY;
      this.#leastSince = now;
    }
    this.#leastMs = Math.min(this.#leastMs, tookMs);
    if (this.#usualMs === 0) this.#usualMs = tookMs;
    if (this.#usualMs > 0) peer.slowness += (tookMs / this.#usualMs - peer.slowness) * WEIGHT;
    this.#usualMs += (tookMs - this.#usualMs) * WEIGHT;
  }

  /** After this long a gift may never be passed on. */
  get patienceMs(): number {
    if (this.#usualMs === 0) return this.#stuckMs;
    // On a slow line every gift takes long: to give it twice would only take longer.
    return Math.min(Math.max(this.#stuckMs, SLOW * this.#usualMs), STUCK * this.#usualMs);
  }

  /** A gift that was sent so long ago waits for something else than the line. */
  get onLineMs(): number {
    return SLOW * this.#usualMs;
  }

  /**
   * Whether gifts only wait on the line for each other. What was handed to the system is not there yet: it takes whole
   * pieces for each connection, and with too many of them on a full line each takes long, and some very long. As with
   * TCP Vegas (Brakmo and Peterson, 1995): of what is under way, the share by which it takes longer than it could waits.
   * @param gifts that are not known to have arrived
   */
  isBacklogged(gifts: number, slots: number): boolean {
    const leastMs = Math.min(this.#leastMs, this.#leastBeforeMs);
    if (this.#usualMs <= leastMs) return false;
    return gifts * (1 - leastMs / this.#usualMs) >= WAITING * slots;
  }
}

/** Gifts to it take far longer than is usual. */
export function isSlow({ slowness }: PeerPace): boolean {
  return slowness > SLOW;
}

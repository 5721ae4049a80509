/** Weight of the last gift in what is usual: about the last eight count. */
const WEIGHT = 1 / 8;
/** A peer that takes so many times the usual is slow: gifts to it hold our slots, and others wait for what it gets. */
const SLOW = 2;
/** A gift that takes so many times the usual may never be passed on. */
const STUCK = 4;

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

  /** @param stuckMs a gift has so long before another one of the same piece is worth anything */
  constructor(stuckMs: number) {
    this.#stuckMs = stuckMs;
  }

  /** A gift arrived: what is usual for all peers, and for this one, moves a little towards its time. */
  learn(peer: PeerPace, tookMs: number): void {
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
}

/** Gifts to it take far longer than is usual. */
export function isSlow({ slowness }: PeerPace): boolean {
  return slowness > SLOW;
}

/** Failures in a row without an answer in between that open the circuit: fewer happen to every registry. */
const FAILURES = 5;
/** First pause, milliseconds; it doubles with every probe that fails. */
const FIRST_PAUSE_MS = 500;
/** Longest pause: a registry that is back is noticed while clients still wait. */
const LONGEST_PAUSE_MS = 3000;
/** A probe that has not ended by then is forgotten: another one may go. */
const PROBE_MS = 10_000;

export type CircuitState = 'closed' | 'open' | 'half-open';

/**
 * Whether it is worth asking a registry now. Closed: ask. Open: it failed again and again, spare it for a while. Half-open:
 * the pause is over, one probe is under way. Pure; times in milliseconds.
 */
export class CircuitBreaker {
  #failures = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #opensAgainMs = 0;
  #probeSinceMs: number | undefined;
  #closed = true;

  /** @returns 0: ask, and say how it ended; else how long to wait before it is worth asking again, milliseconds */
  admit(now: number): number {
    if (this.#closed) return 0;
    const waitMs =
      this.#probeSinceMs === undefined ? this.#opensAgainMs - now : this.#probeSinceMs + PROBE_MS - now;
    if (waitMs > 0) return this.#probeSinceMs === undefined ? waitMs : Math.min(waitMs, this.#pauseMs);
    this.#probeSinceMs = now;
    return 0;
  }

  /** It answered, whatever it said. */
  succeeded(): void {
    this.#closed = true;
    this.#failures = 0;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#probeSinceMs = undefined;
  }

  /** It did not answer, or only that it cannot. */
  failed(now: number): void {
    this.#failures++;
    if (this.#closed && this.#failures < FAILURES) return;
    if (!this.#closed && this.#probeSinceMs === undefined) return;
    if (!this.#closed) this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs);
    this.#closed = false;
    this.#probeSinceMs = undefined;
    this.#opensAgainMs = now + this.#pauseMs;
  }

  /** The asker gave up before it knew. */
  abandoned(): void {
    this.#probeSinceMs = undefined;
  }

  get state(): CircuitState {
    if (this.#closed) return 'closed';
    return this.#probeSinceMs === undefined ? 'open' : 'half-open';
  }
}

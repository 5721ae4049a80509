import type { Clock } from '../runtime/clock.ts';
import type { Rng } from '../runtime/rng.ts';

/**
 * A node that remembers peers gets by with them for so long, and up to twice as long again: trackers that are replaced
 * send no crowd into the DHT, which costs each a second of CPU and half as much memory again. Milliseconds.
 */
const GET_BY_MS = 10_000;
const GET_BY_SPREAD_MS = 20_000;
/** A pull that moves needs nobody else, and the second of CPU itself: so much longer, and up to twice that. */
const PULLING_MS = 30_000;

/** The time in which a node without trackers gets by with the peers that it remembers, before it joins the DHT. */
export class GettingBy {
  readonly #clock: Clock;
  readonly #rng: Rng;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, rng: Rng) {
    this.#clock = clock;
    this.#rng = rng;
  }

  /**
   * Does nothing when it has begun already.
   * @param pulls whether the node pulls something when the time is over
   * @param over called once
   */
  begin(pulls: () => boolean, over: () => void): void {
    const end = (): void => {
      this.#cancel = undefined;
      over();
    };
    this.#cancel ??= this.#clock.after(GET_BY_MS + this.#rng.float() * GET_BY_SPREAD_MS, () => {
      if (pulls()) this.#cancel = this.#clock.after(PULLING_MS * (1 + this.#rng.float()), end);
      else end();
    });
  }

  /** Nobody has to get by any more. */
  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}

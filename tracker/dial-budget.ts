import { BoundedMap } from '../lib/core/bounded-map.ts';

const PERIOD_MS = 10_000;
/** A node that begins several images is named a few dozen peers. */
const MAX_PER_PERIOD = 64;
const MAX_REMEMBERED = 10_000;

/**
 * How many peers may be had to dial one member: it says itself where it is, and could name any machine. Outlives the
 * member's connection, or else it would come back for more.
 */
export class DialBudget {
  readonly #spent = new BoundedMap<{ readonly sinceMs: number; count: number }>(MAX_REMEMBERED);

  /** @returns whether one more peer may be had to dial the member, which counts from now on */
  take(id: string, nowMs: number): boolean {
    const spent = this.#spent.get(id);
    if (spent === undefined || nowMs - spent.sinceMs >= PERIOD_MS) {
      this.#spent.set(id, { sinceMs: nowMs, count: 1 });
      return true;
    }
    return ++spent.count <= MAX_PER_PERIOD;
  }
}

import type { Clock } from './clock.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  /** Undefined once cancelled. */
  callback: (() => void) | undefined;
}

/** A clock that stands still until {@link advanceToNext} moves it: timers fire in time order, ties in creation order. */
export class FakeClock implements Clock {
  #now = 0;
  #order = 0;
  /** A binary heap: the earliest timer first. */
  readonly #heap: Timer[] = [];
  #pending = 0;

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    this.#push(timer);
    this.#pending++;
    return () => {
      if (timer.callback === undefined) return;
      timer.callback = undefined;
      this.#pending--;
    };
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#pending;
  }

  /** Moves to the next timer and fires it. @returns false when none is left at or before `untilMs`: it is then `untilMs` */
  advanceToNext(untilMs = Number.POSITIVE_INFINITY): boolean {
    for (let next = this.#heap[0]; next !== undefined; next = this.#heap[0]) {
      const { callback } = next;
      if (callback !== undefined && next.at > untilMs) break;
      this.#pop();
      if (callback === undefined) continue;
      next.callback = undefined;
      this.#pending--;
      this.#now = next.at;
      callback();
      return true;
    }
    if (Number.isFinite(untilMs)) this.#now = Math.max(this.#now, untilMs);
    return false;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !earlier(timer, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && earlier(right, left)) child++;
      const least = heap[child];
      if (least === undefined || !earlier(least, last)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
  }
}

function earlier(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

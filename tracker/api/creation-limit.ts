/** Jobs that may be made in a burst, and how many a second in the long run. */
const BURST = 60;
const PER_SECOND = 2;

/** How often jobs may be made by request: a script in a loop must not fill the list. Time: milliseconds. */
export class CreationLimit {
  #credit = BURST;
  #atMs = 0;

  /** @returns 0 when one may be made now, which then counts; else after how many milliseconds */
  take(nowMs: number): number {
    this.#credit = Math.min(BURST, this.#credit + (Math.max(0, nowMs - this.#atMs) * PER_SECOND) / 1000);
    this.#atMs = nowMs;
    if (this.#credit < 1) return Math.ceil(((1 - this.#credit) * 1000) / PER_SECOND);
    this.#credit--;
    return 0;
  }
}

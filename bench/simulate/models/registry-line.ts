/** The registry answers requests in the order in which they come, and no more than so many a second. */
export class RegistryLine {
  answered = 0;
  readonly #gapMs: number;
  #freeAt = 0;

  constructor(requestsPerSecond: number) {
    this.#gapMs = 1000 / requestsPerSecond;
  }

  /** A request is there. @returns when it is answered, milliseconds */
  take(nowMs: number): number {
    this.answered++;
    const at = Math.max(nowMs, this.#freeAt);
    this.#freeAt = at + this.#gapMs;
    return at;
  }
}

/** Shorter, and what the kernel had kept for us would look like speed. */
const WINDOW_MS = 500;
const STEP_MS = 100;
/** A peak is remembered for ten to eleven of these. */
const SPAN_MS = 60_000;
const SPANS = 11;

/** The highest rate at which bytes came lately: in ten minutes. Times are milliseconds that never go back. */
export class PeakRate {
  readonly #windowMs: number;
  /** Bytes of each of the last steps, and highest sum of each of the last spans, by number modulo length. */
  readonly #steps: Float64Array;
  readonly #spans = new Float64Array(SPANS);
  #step = 0;
  #span = 0;
  #sum = 0;

  /** @param windowMs bytes count together over this time, a multiple of 100 */
  constructor(windowMs = WINDOW_MS) {
    this.#windowMs = windowMs;
    this.#steps = new Float64Array(windowMs / STEP_MS);
  }

  note(bytes: number, nowMs: number): void {
    this.#advance(nowMs);
    this.#steps[this.#step % this.#steps.length]! += bytes;
    this.#sum += bytes;
    const span = this.#span % SPANS;
    this.#spans[span] = Math.max(this.#spans[span]!, this.#sum);
  }

  /** Bytes a second; 0 when nothing came. */
  bytesPerSecond(nowMs: number): number {
    this.#advance(nowMs);
    return (Math.max(...this.#spans) * 1000) / this.#windowMs;
  }

  #advance(nowMs: number): void {
    const step = Math.floor(nowMs / STEP_MS);
    const span = Math.floor(nowMs / SPAN_MS);
    const { length } = this.#steps;
    for (let at = Math.max(this.#step + 1, step - length + 1); at <= step; at++) {
      this.#sum -= this.#steps[at % length]!;
      this.#steps[at % length] = 0;
    }
    for (let at = Math.max(this.#span + 1, span - SPANS + 1); at <= span; at++) this.#spans[at % SPANS] = 0;
    this.#step = step;
    this.#span = span;
  }
}

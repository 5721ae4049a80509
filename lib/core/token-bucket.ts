/** So long an idle bucket fills, seconds: what may pass at once after a pause. */
const BURST_SECONDS = 0.05;

/**
 * A rate limit without a clock: times come in as milliseconds that never go back. Within any t seconds at most
 * `rate * t + burst` bytes are taken, the burst being what the rate gives in 50 ms. A single take of more than that
 * needs a full bucket and is paid back before the next one.
 */
export class TokenBucket {
  #bytesPerSecond: number;
  #credit: number;
  #atMs: number;

  /** @param bytesPerSecond Infinity = no limit */
  constructor(bytesPerSecond: number, nowMs: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#credit = this.burstBytes;
    this.#atMs = nowMs;
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  get burstBytes(): number {
    return this.#bytesPerSecond * BURST_SECONDS;
  }

  /** From now on another rate. What was taken too much stays owed. */
  change(bytesPerSecond: number, nowMs: number): void {
    this.#refill(nowMs);
    const unlimited = this.#bytesPerSecond === Number.POSITIVE_INFINITY;
    this.#bytesPerSecond = bytesPerSecond;
    this.#credit = unlimited ? this.burstBytes : Math.min(this.#credit, this.burstBytes);
  }

  /** @returns whether the bytes may pass now; they are then taken */
  take(bytes: number, nowMs: number): boolean {
    if (this.waitMs(bytes, nowMs) > 0) return false;
    this.#credit -= bytes;
    return true;
  }

  /** Milliseconds until {@link take} of so many bytes succeeds, should nothing else be taken before. */
  waitMs(bytes: number, nowMs: number): number {
    if (this.#bytesPerSecond === Number.POSITIVE_INFINITY) return 0;
    this.#refill(nowMs);
    const missing = Math.min(bytes, this.burstBytes) - this.#credit;
    return missing <= 0 ? 0 : (missing * 1000) / this.#bytesPerSecond;
  }

  #refill(nowMs: number): void {
    if (Number.isFinite(this.#bytesPerSecond)) {
      const earned = ((nowMs - this.#atMs) * this.#bytesPerSecond) / 1000;
      this.#credit = Math.min(this.burstBytes, this.#credit + earned);
    }
    this.#atMs = nowMs;
  }
}

/** Randomness as a dependency. */
export interface Rng {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
}

/** Small fast counter (sfc32). Signed words: V8 keeps those in the object, while larger ones would be allocated. */
class SmallFastCounter implements Rng {
  #a: number;
  #b: number;
  #c = 0x9e3779b9 | 0;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = (seed / 0x100000000) | 0;
    for (let i = 0; i < 12; i++) this.#next();
  }

  float(): number {
    return (this.#next() >>> 0) / 0x100000000;
  }

  int(bound: number): number {
    return Math.floor(((this.#next() >>> 0) / 0x100000000) * bound);
  }

  /** 32 random bits. */
  #next(): number {
    const next = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + next) | 0;
    return next;
  }
}

/** A seeded generator: fast, the same numbers on every machine. */
export function createRng(seed: number): Rng {
  return new SmallFastCounter(seed);
}

/** `bytes` random bytes as hex: ids and generations. */
export function randomHex(rng: Rng, bytes: number): string {
  let text = '';
  for (let i = 0; i < bytes; i++) text += rng.int(256).toString(16).padStart(2, '0');
  return text;
}

/** Randomness as a dependency. */
export interface Rng {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
}

/** xorshift128+-like generator (sfc32): fast, seeded, the same numbers on every machine. */
export function createRng(seed: number): Rng {
  let a = seed >>> 0;
  let b = (seed / 0x100000000) >>> 0;
  let c = 0x9e3779b9;
  let d = 1;
  const next = (): number => {
    const t = (a + b + d) >>> 0;
    d = (d + 1) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = ((c << 21) | (c >>> 11)) >>> 0;
    c = (c + t) >>> 0;
    return t;
  };
  for (let i = 0; i < 12; i++) next();
  return {
    float: () => next() / 0x100000000,
    int: (bound) => Math.floor((next() / 0x100000000) * bound),
  };
}

/** `bytes` random bytes as hex: ids and generations. */
export function randomHex(rng: Rng, bytes: number): string {
  let text = '';
  for (let i = 0; i < bytes; i++) text += rng.int(256).toString(16).padStart(2, '0');
  return text;
}

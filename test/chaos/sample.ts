import type { Rng } from '../../lib/runtime/rng.ts';

/** `count` different ones, or as many as there are. */
export function sample<T>(rng: Rng, from: readonly T[], count: number): T[] {
  const pool = [...from];
  return Array.from({ length: Math.min(count, pool.length) }, () => {
    const [one] = pool.splice(rng.int(pool.length), 1);
    return one as T;
  });
}

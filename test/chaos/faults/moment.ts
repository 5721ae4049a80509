import type { World } from '../world.ts';

/** Before it nothing is under way, after it next to nothing. */
export const EARLIEST = 0.05;
export const LATEST = 0.8;

/** A random share of a pull, by the seed. */
export function moment(world: World, earliest = EARLIEST, latest = LATEST): number {
  return earliest + world.rng.float() * (latest - earliest);
}

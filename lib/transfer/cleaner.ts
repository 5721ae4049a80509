import type { Metrics } from '../observe/metrics.ts';
import { type Clock, every } from '../runtime/clock.ts';

/** How often a process looks for what nobody uses any more. */
const CLEAN_EVERY_MS = 10_000;
/** A blob that nobody reads and no neighbour asked for is closed after this long; it stays in the store. */
export const IDLE_CLOSE_MS = 5 * 60_000;

/** What is left behind, by kind -> ends it, and says how much there was. */
export type Chores = Readonly<Record<string, () => number>>;

/**
 * Ends, every ten seconds, what has been left behind and holds memory, sockets or files.
 * @returns stops it
 */
export function startCleaner(
  { clock, metrics }: { readonly clock: Clock; readonly metrics: Pick<Metrics, 'cleaned'> },
  chores: Chores,
): () => void {
  return every(clock, CLEAN_EVERY_MS, () => {
    for (const [what, end] of Object.entries(chores)) {
      const ended = end();
      if (ended > 0) metrics.cleaned.inc({ what }, ended);
    }
  });
}

/** Calls `end` for those that are left behind. @returns how many they were */
export function endEach<T>(all: readonly T[], isLeft: (each: T) => boolean, end: (each: T) => void): number {
  const left = all.filter(isLeft);
  for (const each of left) end(each);
  return left.length;
}

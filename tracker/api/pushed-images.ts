import type { PreheatApiDeps } from './preheat-api.ts';

/** Counts what became of what registries told: a job, nothing to do, or no job, and why. */
export type PushCounter = (outcome: 'job' | 'ignored' | 'dropped', why?: unknown) => void;

/**
 * Makes a job of each image that was pushed. Never throws: whoever told of it cannot do anything about it.
 * @param images undefined for what is none
 */
export async function preheatPushed(
  { jobs }: Pick<PreheatApiDeps, 'jobs'>,
  images: readonly (string | undefined)[],
  count: PushCounter,
): Promise<void> {
  // A tag and a digest of one push, and repetitions, are one image.
  const pushed = new Set(images.filter((image) => image !== undefined));
  for (let other = images.length - pushed.size; other > 0; other--) count('ignored');
  const made = await Promise.allSettled([...pushed].map((image) => jobs.create({ image })));
  for (const each of made) {
    if (each.status === 'fulfilled') count('job');
    else count('dropped', each.reason);
  }
}

import type { Outcome } from './simulate.ts';
import type { Work } from './workers.ts';

/** Seeds at which it never comes to rest, and dies. */
export const SPINS_AT = 3;
export const DIES_AT = 13;

/** A worker that simulates nothing, for the test of those who wait for it. */
process.on('message', (message) => {
  for (const seed of (message as Work).seeds) {
    while (seed === SPINS_AT);
    if (seed === DIES_AT) process.exit(7);
    process.send?.({ seed, pulls: 1 } satisfies Partial<Outcome>);
  }
});

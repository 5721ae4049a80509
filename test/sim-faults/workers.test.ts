import { fileURLToPath } from 'node:url';
import t from 'tap';
import { DIES_AT, SPINS_AT } from './lost-worker.ts';
import type { Outcome } from './simulate.ts';
import { runWorkers } from './workers.ts';

const SEEDS = 20;
/** A process starts within that, even on a busy machine. */
const SILENT_MS = 5000;

t.test('a seed whose process spins or dies fails, and all others are simulated', async (t) => {
  const program = fileURLToPath(import.meta.resolve('./lost-worker.ts'));
  const told: Outcome[] = [];
  const outcomes = await runWorkers(
    { program, firstSeed: 1, seeds: SEEDS, jobs: 2, silentMs: SILENT_MS },
    (outcome) => told.push(outcome),
  );
  t.same(told, outcomes);
  const seeds = outcomes.map(({ seed }) => seed).sort((a, b) => a - b);
  t.same(
    seeds,
    Array.from({ length: SEEDS }, (_, index) => index + 1),
  );
  const lost = outcomes.filter(({ violation }) => violation !== undefined);
  t.match(
    lost.sort((a, b) => a.seed - b.seed),
    [
      { seed: SPINS_AT, violation: { invariant: 'process-lost', message: 'silent for 5 s' } },
      { seed: DIES_AT, violation: { invariant: 'process-lost', message: 'its process ended with 7' } },
    ],
  );
  t.equal(lost.length, 2);
});

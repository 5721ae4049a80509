import { availableParallelism } from 'node:os';
import t from 'tap';
import { runTarget, targetNames } from './run-target.ts';

// The part of `npm run fuzz` that continuous integration runs: the corpus, what was once found, and some thousands of
// inputs made of it, always the same ones.

const RUNS = 6_000;
/** For the slowest of them; the machine may be busy. */
const MAX_SECONDS = 12;
const LEAST_COVERED = 0.95;

t.test('every parser survives its inputs, which reach its lines', { timeout: 240_000 }, async (t) => {
  const waiting = targetNames();
  t.ok(waiting.length >= 54, `${waiting.length} targets`);
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const { coverage, findings, inputs } = await runTarget(name, {
        runs: RUNS,
        seconds: MAX_SECONDS,
        seed: 1,
      });
      const told = findings.map(({ index, input, problem }) => ({
        problem,
        index,
        input: Buffer.from(input).toString('base64').slice(0, 2000),
      }));
      t.same(told, [], `${name}: ${inputs} inputs`);
      const { lines, missed, reached } = coverage;
      t.ok(
        reached >= lines * LEAST_COVERED,
        `${name}: ${reached} of ${lines} lines; not ${missed.join(' ')}`,
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
});

t.test(
  'an input that hangs, one that throws and one that fills the memory are findings',
  { timeout: 120_000 },
  async (t) => {
    for (const [name, expected] of [
      ['broken-throws', /TypeError/],
      ['broken-memory', /memory|takes \d+ MiB/i],
      ['broken-hangs', /does not come to an end/],
    ] as const) {
      const { findings } = await runTarget(`../fixtures/${name}`, { runs: 2000, seconds: 60, seed: 1 });
      t.match(findings[0]?.problem, expected, name);
      t.match(Buffer.from(findings[0]?.input ?? []).toString(), /!/, 'with the input that does it');
    }
  },
);

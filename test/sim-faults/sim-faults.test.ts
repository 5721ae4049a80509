import t from 'tap';
import type { Invariant } from './invariants.ts';
import * as mutants from './mutants.ts';
import { drawPlan, type Plan } from './plan.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulate.ts';

/** As many as take a good minute on two cores; more, and others, by `npm run test:sim-faults`. */
const SEEDS = 120;
/** Seeds that once found a bug, and what it was. */
const FOUND: Readonly<Record<number, string>> = {
  82: 'a node refused for ever what was right, because it had come mixed with what was wrong',
  1108: 'a client waited for ever for a piece that was lost on disk, and that neighbours believed to be there',
  1143: 'a supernode whose disk was full never gave back the memory of a piece',
};
const MINUTES_MS = 60_000;

t.test(`nothing breaks in ${SEEDS} clusters, whatever goes wrong`, { timeout: 4 * MINUTES_MS }, async (t) => {
  const failed: unknown[] = [];
  let pulls = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulate(drawPlan(seed));
    pulls += outcome.pulls;
    if (outcome.violation !== undefined) failed.push({ seed, ...outcome.violation });
  }
  t.same(failed, [], 'again with: npm run test:sim-faults -- --first-seed SEED --seeds 1 --trace');
  t.ok(pulls > 5 * SEEDS, `${pulls} pulls`);
});

for (const [seed, bug] of Object.entries(FOUND)) {
  t.test(`seed ${seed}: ${bug}`, async (t) => {
    t.equal((await simulate(drawPlan(Number(seed)))).violation, undefined);
  });
}

t.test('the same seed gives the same run, to the step', async (t) => {
  for (const seed of [3, 4, 13]) {
    const first = await simulate(drawPlan(seed));
    t.same(await simulate(drawPlan(seed)), first);
    t.ok(first.steps > 500, `${first.steps} steps`);
  }
  t.not((await simulate(drawPlan(4))).hash, (await simulate(drawPlan(13))).hash);
});

/** What is broken on purpose, what must notice it, and which plans have a chance to. */
const MUTANTS: readonly (readonly [name: keyof typeof mutants, Invariant, (plan: Plan) => boolean])[] = [
  ['servesUnverified', 'wrong-bytes', has('changed-file')],
  ['syncsNothing', 'disk', has('power')],
  ['losesRecords', 'disk', has('kill')],
  ['asksNobody', 'read-twice', (plan) => plan.faults.length === 0],
  ['neverFallsBack', 'pull-hangs', (plan) => plan.supernodes === 0],
  ['leaksBuffers', 'memory', (plan) => plan.faults.length === 0],
];
const MOST_TRIED = 20;

for (const [name, invariant, worthIt] of MUTANTS) {
  t.test(`the mutant ${name} is noticed`, { timeout: 2 * MINUTES_MS }, async (t) => {
    const mutant = mutants[name];
    let tried = 0;
    for (let seed = 1; tried < MOST_TRIED; seed++) {
      const plan = drawPlan(seed);
      if (!worthIt(plan)) continue;
      tried++;
      const { violation } = await simulate(plan, { mutant });
      if (violation?.invariant !== invariant) continue;
      t.pass(`seed ${seed}, the ${tried}. tried: ${violation.message}`);
      return;
    }
    t.fail(`not in ${MOST_TRIED} plans`);
  });
}

t.test('a failure is shrunk to what it needs, and fails again', { timeout: 2 * MINUTES_MS }, async (t) => {
  const world = { mutant: mutants.servesUnverified };
  let seed = 1;
  let plan = drawPlan(seed);
  while (plan.faults.length < 3 || !has('changed-file')(plan) || (await simulate(plan, world)).violation?.invariant !== 'wrong-bytes') {
    plan = drawPlan(++seed);
  }
  const shrunk = await shrink(plan, { world, mostRuns: 60 });
  t.match(
    shrunk.plan.faults.map(({ kind }) => kind),
    ['changed-file'],
  );
  t.ok(shrunk.plan.pulls.length <= 2, `${plan.pulls.length} pulls became ${shrunk.plan.pulls.length}`);
  const again = await simulate(shrunk.plan, world);
  t.same(again.violation, shrunk.outcome.violation, 'at the same step');
});

function has(kind: Plan['faults'][number]['kind']): (plan: Plan) => boolean {
  return ({ faults }) => faults.some((fault) => fault.kind === kind);
}

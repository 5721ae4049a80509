import t from 'tap';
import type { Invariant } from './invariants.ts';
import * as mutants from './mutants.ts';
import { drawPlan, type Plan } from './plan.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulate.ts';

const MINUTES_MS = 60_000;

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
  while (
    plan.faults.length < 3 ||
    !has('changed-file')(plan) ||
    (await simulate(plan, world)).violation?.invariant !== 'wrong-bytes'
  ) {
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

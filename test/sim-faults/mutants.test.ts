import t from 'tap';
import type { Invariant } from './invariants.ts';
import * as mutants from './mutants.ts';
import { drawPlan, type Plan } from './plan.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulate.ts';

const MINUTES_MS = 60_000;

/** What is broken on purpose, what must notice it, and which plans have a chance to. */
const MUTANTS: readonly (readonly [name: keyof typeof mutants, Invariant, (plan: Plan) => boolean])[] = [
  ['servesUnverified', 'wrong-bytes', (plan) => plan.faults.length === 0],
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
      const drawn = drawPlan(seed);
      if (!worthIt(drawn)) continue;
      const plan = name === 'servesUnverified' ? changedBetweenPulls(drawn) : drawn;
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
  let plan = drawPlan(1);
  for (let seed = 1; (await simulate(plan, world)).violation?.invariant !== 'wrong-bytes'; seed++) {
    if (seed > MOST_TRIED) throw new Error('nothing fails');
    const drawn = drawPlan(seed);
    plan = drawn.faults.length === 0 ? changedBetweenPulls(drawn) : plan;
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

/** Everybody pulls everything a second time, after somebody has changed a file of each node. */
function changedBetweenPulls(plan: Plan): Plan {
  const later = plan.pulls.map((pull) => ({ ...pull, atMs: pull.atMs + 10_000 }));
  const faults = Array.from({ length: plan.nodes }, (_, index) => ({
    ...({ kind: 'changed-file', who: `node${index}`, share: 0.3 } as const),
    ...{ atMs: 9000, forMs: 1 },
  }));
  return { ...plan, pulls: [...plan.pulls, ...later], faults };
}

function has(kind: Plan['faults'][number]['kind']): (plan: Plan) => boolean {
  return ({ faults }) => faults.some((fault) => fault.kind === kind);
}

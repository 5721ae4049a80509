import type { Fault } from './faults.ts';
import type { Plan } from './plan.ts';
import { type Outcome, simulate } from './simulate.ts';
import type { WorldOptions } from './world.ts';

export interface Shrunk {
  readonly plan: Plan;
  readonly outcome: Outcome;
  /** Plans that were tried. */
  readonly runs: number;
}

/**
 * The smallest plan found that still breaks the same invariant: first with fewer faults, then with fewer pulls, blobs and
 * machines, then with smaller blobs and shorter faults.
 */
export async function shrink(
  failing: Plan,
  options: { readonly world?: WorldOptions; readonly mostRuns?: number } = {},
): Promise<Shrunk> {
  const { mostRuns = 400, world } = options;
  let best = { plan: failing, outcome: await simulate(failing, world) };
  const invariant = best.outcome.violation?.invariant;
  let runs = 1;
  if (invariant === undefined) return { ...best, runs };
  /** @returns whether the plan fails alike, and is the best from now on */
  const takes = async (plan: Plan): Promise<boolean> => {
    if (runs >= mostRuns) return false;
    runs++;
    const outcome = await simulate(plan, world);
    if (outcome.violation?.invariant !== invariant) return false;
    best = { plan, outcome };
    return true;
  };
  for (let before = 0; before !== sizeOf(best.plan); ) {
    before = sizeOf(best.plan);
    await dropAny(
      () => best.plan.faults,
      (faults) => takes({ ...best.plan, faults }),
    );
    await dropAny(
      () => best.plan.pulls,
      (pulls) => takes({ ...best.plan, pulls }),
    );
    for (const simpler of SIMPLER) {
      let next = simpler(best.plan);
      while (next !== undefined && (await takes(next))) next = simpler(best.plan);
    }
  }
  return { ...best, runs };
}

/** Leaves out halves, then quarters, and so on, of a list for as long as the rest will do. */
async function dropAny<T>(
  now: () => readonly T[],
  takes: (left: readonly T[]) => Promise<boolean>,
): Promise<void> {
  for (let size = Math.ceil(now().length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < now().length; ) {
      const left = now().toSpliced(at, size);
      if (!(await takes(left))) at += size;
    }
  }
}

/** Ways to make a plan a little simpler; undefined when it is as simple as that. */
const SIMPLER: readonly ((plan: Plan) => Plan | undefined)[] = [
  (plan) => without(plan, 'nodes', 'node', 1),
  (plan) => without(plan, 'supernodes', 'super', 0),
  (plan) => without(plan, 'trackers', 'tracker', 1),
  (plan) => {
    if (plan.blobs.every(({ size }) => size < 2 * plan.pieceBytes)) return undefined;
    return { ...plan, blobs: plan.blobs.map((blob) => ({ ...blob, size: Math.ceil(blob.size / 2) })) };
  },
  (plan) => {
    if (plan.faults.every(({ forMs = 0 }) => forMs < 2)) return undefined;
    const shorter = (forMs: number): number => Math.ceil(forMs / 2);
    const faults = plan.faults.map(
      (fault): Fault => (fault.forMs === undefined ? fault : { ...fault, forMs: shorter(fault.forMs) }),
    );
    return { ...plan, faults };
  },
];

/** The plan without its last machine of a kind, and what is said of it. */
function without(
  plan: Plan,
  count: 'nodes' | 'supernodes' | 'trackers',
  name: string,
  least: number,
): Plan | undefined {
  if (plan[count] <= least) return undefined;
  const gone = `${name}${plan[count] - 1}`;
  const faults = plan.faults.flatMap((fault): Fault[] => {
    if ('who' in fault && fault.who === gone) return [];
    if (fault.kind !== 'partition') return [fault];
    const side = fault.side.filter((host) => host !== gone);
    return side.length === 0 ? [] : [{ ...fault, side }];
  });
  return {
    ...plan,
    [count]: plan[count] - 1,
    pulls: plan.pulls.filter(({ node }) => node !== gone),
    faults,
  };
}

/** Grows with everything that a reader of the plan has to look at. */
function sizeOf({ blobs, faults, nodes, pulls, supernodes, trackers }: Plan): number {
  const bytes = blobs.reduce((sum, { size }) => sum + Math.log2(size + 1), 0);
  const lasting = faults.reduce((sum, { forMs = 0 }) => sum + Math.log2(forMs + 1), 0);
  return faults.length * 100 + pulls.length * 10 + nodes + supernodes + trackers + bytes + lasting;
}

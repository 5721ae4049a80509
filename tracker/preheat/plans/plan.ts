import type { Digest } from '../../../lib/core/digest.ts';
import type { PlanPhase, PlanState, PlanView } from '../../../lib/wire/plan-messages.ts';
import { MAX_SHOWN, type PreheatFailure } from '../../../lib/wire/preheat-messages.ts';
import type { PlanSpec } from './plan-spec.ts';

/** How far one stage is. */
export interface StageRun {
  /** Chosen when the stage begins. */
  batches: string[][];
  failed: Map<string, PreheatFailure>;
}

/** A staged rollout, from its creation until it is forgotten. Times: milliseconds since the epoch. */
export interface Plan {
  readonly id: number;
  /** Random: chooses the machines of a number or a share. */
  readonly key: string;
  readonly spec: PlanSpec;
  readonly createdAtMs: number;
  finishedAtMs?: number;
  state: PlanState;
  phase: PlanPhase;
  /** Indexes of what is under way. */
  stage: number;
  batch: number;
  image: number;
  readonly stages: StageRun[];
  /** What each image is, once the first batch has found out. */
  readonly digests: (Digest | undefined)[];
  /** The preheat job under way. */
  job?: number;
  pausedUntilMs?: number;
  why?: PreheatFailure;
}

export function newPlan(spec: PlanSpec, id: number, key: string, nowMs: number): Plan {
  return {
    ...{ id, key, spec, createdAtMs: nowMs, state: 'running', phase: 'choose', stage: 0, batch: 0, image: 0 },
    stages: spec.stages.map(() => ({ batches: [], failed: new Map<string, PreheatFailure>() })),
    digests: spec.text.images.map(() => undefined),
  };
}

export function isPlanOver({ state }: Plan): boolean {
  return state === 'succeeded' || state === 'canceled';
}

/** Machines of the batch under way. */
export function batchOf(plan: Plan): readonly string[] {
  return plan.stages[plan.stage]?.batches[plan.batch] ?? [];
}

/** Machines that stages before this one, and this one, have chosen. */
export function chosenSoFar({ stages }: Plan): ReadonlySet<string> {
  return new Set(stages.flatMap(({ batches }) => batches.flat()));
}

/** As people see it. */
export function viewOfPlan(plan: Plan): PlanView {
  const {
    createdAtMs,
    digests,
    finishedAtMs,
    id,
    image,
    job,
    pausedUntilMs,
    phase,
    spec,
    stage,
    state,
    why,
  } = plan;
  const failures = plan.stages.flatMap(({ failed }) => [...failed]).slice(0, MAX_SHOWN);
  return {
    ...{ id, name: spec.name, state, phase, stage: stage + 1, image: image + 1, createdAtMs },
    images: spec.text.images.map((text, index) => {
      const digest = digests[index];
      return { image: text, ...(digest === undefined ? {} : { digest }) };
    }),
    stages: plan.stages.map(({ batches, failed }, index) => {
      const through = throughOf(plan, index);
      const machines = batches.reduce((sum, { length }) => sum + length, 0);
      return {
        ...{ name: spec.stages[index]?.name ?? '', nodes: spec.text.stages[index]?.nodes ?? '', machines },
        ...{ done: through.filter((node) => !failed.has(node)).length, failed: failed.size },
        batch: index < stage ? batches.length : index > stage ? 0 : Math.min(plan.batch + 1, batches.length),
        batches: batches.length,
      };
    }),
    ...(job === undefined ? {} : { job }),
    failures: failures.map(([node, error]) => ({ node, error })),
    ...(pausedUntilMs === undefined ? {} : { pausedUntilMs }),
    ...(why === undefined ? {} : { why }),
    ...(finishedAtMs === undefined ? {} : { finishedAtMs }),
  };
}

/** Machines of batches that are over. */
function throughOf({ batch, phase, stage, stages, state }: Plan, index: number): string[] {
  const { batches } = stages[index] ?? { batches: [] };
  if (index < stage || state === 'succeeded') return batches.flat();
  if (index > stage) return [];
  return batches.slice(0, phase === 'pause' ? batch + 1 : batch).flat();
}

import type { PlanView } from '../../lib/wire/plan-messages.ts';
import type { JobView } from '../../lib/wire/preheat-messages.ts';
import type { LivePreheat } from './live-messages.ts';

/** Rows of the live page. */
const MAX_ROWS = 20;

/** Preheat jobs and plans for people who watch, the newest first. @param jobs without those of plans, which stand for them */
export function livePreheats(jobs: readonly JobView[], plans: readonly PlanView[]): readonly LivePreheat[] {
  const ofJobs = jobs.map(({ error, id, image, nodes, state, tags, targets }): LivePreheat => {
    const { done, failed, total } = targets;
    const name = tags === undefined ? image : `${image}:${tags}`;
    const why = error === undefined ? {} : { why: error.message };
    return { id, what: 'job', name, to: nodes, state, done, failed, machines: total, ...why };
  });
  const ofPlans = plans.map(({ id, name, phase, stage, stages, state, why }): LivePreheat => {
    const now = stages[stage - 1] ?? stages.at(-1);
    const sum = (key: 'done' | 'failed' | 'machines'): number =>
      stages.reduce((all, each) => all + each[key], 0);
    const to =
      now === undefined ? '' : `stage ${Math.min(stage, stages.length)} of ${stages.length}: ${now.name}`;
    return {
      ...{ id, what: 'plan', name, to, done: sum('done'), failed: sum('failed'), machines: sum('machines') },
      state: state === 'running' ? `running (${phase})` : state,
      ...(why === undefined ? {} : { why: why.message }),
    };
  });
  return [...ofJobs, ...ofPlans].sort((a, b) => b.id - a.id).slice(0, MAX_ROWS);
}

import { hasCode } from '../lib/core/errors.ts';
import { delay } from '../lib/runtime/clock.ts';
import { createSystemClock } from '../lib/runtime/system-clock.ts';
import type { PlanView } from '../lib/wire/plan-messages.ts';
import type { JobView } from '../lib/wire/preheat-messages.ts';
import type { DaemonClient } from './daemon-client.ts';

export interface FollowedJob {
  /** Which tracker has it. */
  readonly tracker: string;
  readonly job: JobView;
}

const LOOK_MS = 500;
/** A tracker that is restarted goes on with its jobs. */
const AWAY_MS = 60_000;

/**
 * Asks again and again how far jobs are, until all are over.
 * @param show is told what has changed
 * @throws TRACKER_UNREACHABLE when it stays away, DAEMON_UNREACHABLE, JOB_UNKNOWN, ABORTED
 */
export async function followJobs(
  client: Pick<DaemonClient, 'preheats'>,
  jobs: readonly FollowedJob[],
  show: (job: JobView) => void,
  signal: AbortSignal,
): Promise<readonly JobView[]> {
  const follow = ({ job, tracker }: FollowedJob): Promise<JobView> =>
    followed(
      job,
      async () => (await client.preheats({ act: 'get', id: job.id }, tracker, signal)).jobs[0],
      { show, isOver: ({ finishedAtMs }) => finishedAtMs !== undefined },
      signal,
    );
  return await Promise.all(jobs.map(follow));
}

/** The same of a plan, until it does not run: it is over, or stopped. */
export async function followPlan(
  client: Pick<DaemonClient, 'plans'>,
  { plan, tracker }: { readonly plan: PlanView; readonly tracker: string },
  show: (plan: PlanView) => void,
  signal: AbortSignal,
): Promise<PlanView> {
  return await followed(
    plan,
    async () => (await client.plans({ act: 'get', id: plan.id }, tracker, signal)).plans[0],
    { show, isOver: ({ state }) => state !== 'running' },
    signal,
  );
}

async function followed<T>(
  first: T,
  look: () => Promise<T | undefined>,
  { isOver, show }: { readonly isOver: (now: T) => boolean; readonly show: (now: T) => void },
  signal: AbortSignal,
): Promise<T> {
  const clock = createSystemClock({ keepsAlive: true });
  let heardMs = clock.now();
  for (let now = first; ; ) {
    show(now);
    if (isOver(now)) return now;
    await delay(clock, LOOK_MS, signal);
    try {
      now = (await look()) ?? now;
      heardMs = clock.now();
    } catch (error) {
      if (!hasCode(error, 'TRACKER_UNREACHABLE') || clock.now() - heardMs > AWAY_MS) throw error;
    }
  }
}

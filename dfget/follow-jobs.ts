import { hasCode } from '../lib/core/errors.ts';
import { delay } from '../lib/runtime/clock.ts';
import { createSystemClock } from '../lib/runtime/system-clock.ts';
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
  const clock = createSystemClock({ keepsAlive: true });
  const follow = async ({ job, tracker }: FollowedJob): Promise<JobView> => {
    let heardMs = clock.now();
    for (let now = job; ; ) {
      show(now);
      if (now.finishedAtMs !== undefined) return now;
      await delay(clock, LOOK_MS, signal);
      try {
        const { jobs: told } = await client.preheats({ act: 'get', id: job.id }, tracker, signal);
        now = told[0] ?? now;
        heardMs = clock.now();
      } catch (error) {
        if (!hasCode(error, 'TRACKER_UNREACHABLE') || clock.now() - heardMs > AWAY_MS) throw error;
      }
    }
  };
  return await Promise.all(jobs.map(follow));
}

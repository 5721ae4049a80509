import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Disk } from '../../lib/store/disk/disk.ts';
import { tempFolder } from '../fixtures/temp-folder.ts';
import type { Report } from '../simulate/report.ts';
import type { JobResult, ResultCache } from './cache.ts';
import type { Job } from './jobs.ts';
import { readText } from './text-file.ts';

/** How a job ended: with a result, or with what the simulator said before it gave up. */
export type JobOutcome =
  | { readonly kind: 'done'; readonly result: JobResult; readonly cached: boolean }
  | { readonly kind: 'failed'; readonly reason: string };

export interface RunnerEvents {
  started(job: Job): void;
  ended(job: Job, outcome: JobOutcome): void;
}

const SIMULATOR = join(import.meta.dirname, '..', 'simulate', 'main.ts');
/** Of what the simulator says when it fails, so many lines are told. */
const TAIL_LINES = 3;

/**
 * Carries out the jobs in order, `parallel` at a time; those in the cache at once.
 * @param options.simulate runs one job @throws what it makes of an abort, after all that were under way have ended
 */
export async function runJobs(
  jobs: readonly Job[],
  options: {
    readonly parallel: number;
    readonly cache: ResultCache;
    readonly simulate: (job: Job, signal: AbortSignal) => Promise<JobOutcome>;
    readonly events: RunnerEvents;
    readonly signal: AbortSignal;
  },
): Promise<Map<Job, JobOutcome>> {
  const { parallel, cache, simulate, events, signal } = options;
  const outcomes = new Map<Job, JobOutcome>();
  const end = (job: Job, outcome: JobOutcome): void => {
    outcomes.set(job, outcome);
    events.ended(job, outcome);
  };
  const waiting: Job[] = [];
  for (const job of jobs) {
    const result = cache.get(job);
    if (result === undefined) waiting.push(job);
    else end(job, { kind: 'done', result, cached: true });
  }
  const work = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      signal.throwIfAborted();
      events.started(job);
      const outcome = await simulate(job, signal);
      signal.throwIfAborted();
      if (outcome.kind === 'done') await cache.add(job, outcome.result);
      end(job, outcome);
    }
  };
  // After an error nothing new begins, and what is under way ends before anyone hears of it.
  const workers = await Promise.allSettled(
    Array.from({ length: parallel }, () =>
      work().finally(() => {
        waiting.length = 0;
      }),
    ),
  );
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason;
  return outcomes;
}

/** Runs the simulator in a process of its own, which ends at once when the signal fires. */
export async function simulateInChild(job: Job, disk: Disk, signal: AbortSignal): Promise<JobOutcome> {
  await using folder = await tempFolder('report');
  const picture = join(folder.path, 'plot.svg');
  const args = [SIMULATOR, ...job.args, '--json', ...(job.plot ? ['--plot', picture] : [])];
  // As `npm run bench:sim` does: garbage is taken out early, for a fifth of the memory.
  const child = spawn(process.execPath, ['--max-semi-space-size=2', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (stderr += text));
  // It is busy in one long loop and has nothing to put away.
  const stop = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  let code: number | null;
  let killedBy: NodeJS.Signals | null;
  try {
    [code, killedBy] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  } catch (error) {
    return { kind: 'failed', reason: (error as Error).message };
  } finally {
    signal.removeEventListener('abort', stop);
  }
  if (code !== 0) {
    return { kind: 'failed', reason: lastWords(stderr) || `it ended with ${killedBy ?? code}` };
  }
  try {
    const reports = parseReports(stdout);
    const svg = job.plot ? await readText(disk, picture) : undefined;
    return { kind: 'done', result: { reports, ...(svg === undefined ? {} : { svg }) }, cached: false };
  } catch (error) {
    return { kind: 'failed', reason: `its answer cannot be read: ${(error as Error).message}` };
  }
}

/** The end of what it said, without the stack of an uncaught error. */
function lastWords(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => !/^(\s+at .*|Node\.js v.*|\s*)$/.test(line));
  return lines.slice(-TAIL_LINES).join(' ');
}

/** What `bench:sim --json` prints: our own report, which holds those of other schemes after `--compare`. */
function parseReports(text: string): Report[] {
  const { compare, ...own } = JSON.parse(text) as Report & { readonly compare?: readonly Report[] };
  return [own, ...(compare ?? [])];
}

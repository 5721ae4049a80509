import { formatDuration } from '../../lib/config/units.ts';
import { type Clock, every } from '../../lib/runtime/clock.ts';
import { type Job, nameOf } from './jobs.ts';
import type { RunnerEvents } from './runner.ts';

/** Where to show it: standard error. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const REFRESH_MS = 1000;
const DEFAULT_COLUMNS = 80;

/**
 * One line for each run that ended; on a terminal, below them, what is running and how long it may take. The estimate
 * goes by the pace of the runs that were not in the cache.
 */
export function createProgress(
  jobs: readonly Job[],
  clock: Clock,
  stream: ProgressStream,
): RunnerEvents & { stop(): void } {
  const startedMs = clock.now();
  const running = new Map<Job, number>();
  let ended = 0;
  let workDone = 0;
  let lastEndMs = startedMs;
  let workLeft = jobs.reduce((sum, { work }) => sum + work, 0);
  const outlook = (): string => {
    const left = jobs.length - ended;
    if (left === 0) return 'none left';
    if (workDone === 0) return `${left} left, ETA unknown`;
    const etaMs = ((lastEndMs - startedMs) * workLeft) / workDone - (clock.now() - lastEndMs);
    return `${left} left, ETA ${formatDuration(Math.max(0, etaMs))}`;
  };
  const status = (): void => {
    const now = [...running].map(([job, since]) => `${nameOf(job)} (${formatDuration(clock.now() - since)})`);
    const line = `${ended} of ${jobs.length} done, ${outlook()}; running: ${now.join(' | ')}`;
    stream.write(`\r\u001b[K${line.slice(0, (stream.columns ?? DEFAULT_COLUMNS) - 1)}`);
  };
  const stopRefresh = stream.isTTY === true ? every(clock, REFRESH_MS, status) : (): void => {};
  return {
    started(job) {
      running.set(job, clock.now());
      if (stream.isTTY === true) status();
    },
    ended(job, outcome) {
      ended++;
      workLeft -= job.work;
      running.delete(job);
      if (outcome.kind === 'failed' || !outcome.cached) {
        workDone += job.work;
        lastEndMs = clock.now();
      }
      const clear = stream.isTTY === true ? '\r\u001b[K' : '';
      const head = `${clear}[${ended}/${jobs.length}] ${nameOf(job)}`;
      if (outcome.kind === 'failed') {
        stream.write(`${head}: FAILED: ${outcome.reason}\n`);
      } else {
        const [own] = outcome.result.reports;
        const took = outcome.cached ? 'from an earlier report' : `took ${own?.wallSeconds.toFixed(1)} s`;
        stream.write(`${head}: p99.9 ${own?.ratio.p999.toFixed(3)}, ${took}; ${outlook()}\n`);
      }
      if (stream.isTTY === true && running.size > 0) status();
    },
    stop() {
      stopRefresh();
      if (stream.isTTY === true) stream.write('\r\u001b[K');
    },
  };
}

import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import { formatBytes } from '../lib/config/units.ts';
import type { JobView } from '../lib/wire/preheat-messages.ts';

export interface PreheatProgress {
  show(job: JobView): void;
  stop(): void;
}

/** A bar a job on a terminal, a line a change elsewhere, JSON events for machines. */
export function createPreheatProgress(options: {
  readonly json: boolean;
  readonly isTty: boolean;
}): PreheatProgress {
  if (options.json) {
    return changes((job) => process.stdout.write(`${JSON.stringify({ event: 'progress', ...job })}\n`));
  }
  return options.isTty ? bars() : changes((job) => process.stderr.write(`${line(job)}\n`));
}

function changes(print: (job: JobView) => void): PreheatProgress {
  const known = new Map<number, string>();
  return {
    show(job) {
      const { batch, doneBytes, id, state, targets } = job;
      const now = JSON.stringify([state, targets, batch, doneBytes]);
      if (known.get(id) === now || job.finishedAtMs !== undefined) return;
      known.set(id, now);
      print(job);
    },
    stop() {},
  };
}

function bars(): PreheatProgress {
  const format = '{image} [{bar}] {percentage}%  {told}';
  const multi = new MultiBar({ format, hideCursor: true, stream: process.stderr }, Presets.shades_grey);
  const byJob = new Map<number, SingleBar>();
  return {
    show(job) {
      const { doneBytes, id, image, totalBytes } = job;
      const total = Math.max(totalBytes, 1);
      const done = job.state === 'succeeded' ? total : doneBytes;
      const texts = { image, told: told(job) };
      const bar = byJob.get(id) ?? multi.create(total, 0, texts);
      byJob.set(id, bar);
      bar.setTotal(total);
      bar.update(done, texts);
    },
    stop: () => multi.stop(),
  };
}

function line(job: JobView): string {
  return `job ${job.id}  ${job.state}  ${told(job)}`;
}

function told({ batch, batches, doneBytes, targets, totalBytes }: JobView): string {
  const machines = `${targets.done} of ${targets.total} machines`;
  const failed = targets.failed === 0 ? '' : `, ${targets.failed} failed`;
  const part = batches > 1 ? `, batch ${batch} of ${batches}` : '';
  return `${machines}${failed}${part}, ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
}

import type { Disk } from '../../lib/store/disk/disk.ts';
import type { Report } from '../simulate/report.ts';
import type { Job } from './jobs.ts';
import { type KeptResults, openKeptResults } from './kept-results.ts';

/** What a run of the simulator came to: one report, or with `--compare` one for each scheme. */
export interface JobResult {
  readonly reports: readonly Report[];
  /** The picture, when it was wanted. */
  readonly svg?: string;
}

/** Results of earlier runs of the same code. */
export interface ResultCache {
  get(job: Job): JobResult | undefined;
  /** The result is on the disk afterwards, whatever happens to the process. */
  add(job: Job, result: JobResult): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param options.code what the results depend on beside the command line: the commit
 * @param options.fresh results that are there already do not count
 */
export async function openCache(
  disk: Disk,
  folder: string,
  options: { readonly code: string; readonly fresh: boolean },
): Promise<ResultCache> {
  const kept: KeptResults<JobResult> = await openKeptResults(disk, folder, options);
  const nameOf = ({ args, plot }: Job): string => `${args.join(' ')}${plot ? ' --plot' : ''}`;
  return {
    get: (job) => kept.get(nameOf(job)),
    add: (job, result) => kept.add(nameOf(job), result),
    close: () => kept.close(),
  };
}

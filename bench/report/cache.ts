import { join } from 'node:path';
import type { Disk } from '../../lib/store/disk/disk.ts';
import type { Report } from '../simulate/report.ts';
import type { Job } from './jobs.ts';
import { readText } from './text-file.ts';

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

interface Entry {
  readonly key: string;
  readonly result: JobResult;
}

const FILE = 'runs.jsonl';

/**
 * One line of JSON for each run, below `folder`.
 * @param options.code what the results depend on beside the command line: the commit
 * @param options.fresh results that are there already do not count
 */
export async function openCache(
  disk: Disk,
  folder: string,
  options: { readonly code: string; readonly fresh: boolean },
): Promise<ResultCache> {
  await disk.makeFolder(folder);
  const path = join(folder, FILE);
  const text = await readText(disk, path);
  // An interruption can leave half a line: it goes.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const results = new Map<string, JobResult>();
  for (const line of options.fresh ? [] : whole.split('\n')) {
    const entry = parseEntry(line);
    if (entry !== undefined) results.set(entry.key, entry.result);
  }
  const file = await disk.open(path);
  let end = new TextEncoder().encode(whole).length;
  await file.truncate(end);
  let last: Promise<void> = Promise.resolve();
  const keyOf = ({ args, plot }: Job): string => `${options.code} ${args.join(' ')}${plot ? ' --plot' : ''}`;
  return {
    get: (job) => results.get(keyOf(job)),
    add(job, result) {
      const entry: Entry = { key: keyOf(job), result };
      results.set(entry.key, result);
      const bytes = new TextEncoder().encode(`${JSON.stringify(entry)}\n`);
      const at = end;
      end += bytes.length;
      last = last.then(async () => {
        await file.write(bytes, at);
        await file.sync();
      });
      return last;
    },
    close: () => file.close(),
  };
}

function parseEntry(line: string): Entry | undefined {
  if (line === '') return undefined;
  try {
    return JSON.parse(line) as Entry;
  } catch {
    return undefined;
  }
}

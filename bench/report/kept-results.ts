import { join } from 'node:path';
import type { Disk } from '../../lib/store/disk/disk.ts';
import { readText } from './text-file.ts';

/** Results of earlier runs of the same code, by the name of the run. */
export interface KeptResults<Result> {
  get(name: string): Result | undefined;
  /** The result is on the disk afterwards, whatever happens to the process. */
  add(name: string, result: Result): Promise<void>;
  close(): Promise<void>;
}

interface Entry<Result> {
  readonly key: string;
  readonly result: Result;
}

const FILE = 'runs.jsonl';

/**
 * One line of JSON for each run, below `folder`.
 * @param options.code what the results depend on beside the name: the commit
 * @param options.fresh results that are there already do not count
 */
export async function openKeptResults<Result>(
  disk: Disk,
  folder: string,
  options: { readonly code: string; readonly fresh: boolean },
): Promise<KeptResults<Result>> {
  await disk.makeFolder(folder);
  const path = join(folder, FILE);
  const text = await readText(disk, path);
  // An interruption can leave half a line: it goes.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  const results = new Map<string, Result>();
  for (const line of options.fresh ? [] : whole.split('\n')) {
    const entry = parseEntry<Result>(line);
    if (entry !== undefined) results.set(entry.key, entry.result);
  }
  const file = await disk.open(path);
  let end = new TextEncoder().encode(whole).length;
  await file.truncate(end);
  let last: Promise<void> = Promise.resolve();
  const keyOf = (name: string): string => `${options.code} ${name}`;
  return {
    get: (name) => results.get(keyOf(name)),
    add(name, result) {
      const entry: Entry<Result> = { key: keyOf(name), result };
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

function parseEntry<Result>(line: string): Entry<Result> | undefined {
  if (line === '') return undefined;
  try {
    return JSON.parse(line) as Entry<Result>;
  } catch {
    return undefined;
  }
}

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describeMachine } from '../../bench/report/machine.ts';
import { FAULTS } from './faults/index.ts';
import { type ChaosRecord, chaosPage } from './page.ts';
import type { ChaosResult } from './result.ts';
import type { SuiteSize } from './sizes.ts';

const PAGES = join(import.meta.dirname, '..', '..', 'docs', 'benchmarks');
const DATA = join(PAGES, 'chaos.json');

/** Writes the page, with what was recorded earlier of clusters of this size, here or elsewhere, and was not run again. */
export async function writeRecord(size: SuiteSize, results: readonly ChaosResult[]): Promise<void> {
  const earlier = JSON.parse(await readFile(DATA, 'utf8').catch(() => 'null')) as ChaosRecord | null;
  const machine = describeMachine();
  const record = mergeRecords(earlier, { size, results: results.map((run) => ({ ...run, machine })) });
  await writeFile(join(PAGES, 'chaos.md'), chaosPage(record, FAULTS));
  await writeFile(DATA, `${JSON.stringify(record, undefined, 2)}\n`);
}

/** The newer record, and what only the earlier one has, when both are of clusters of one size. */
export function mergeRecords(earlier: ChaosRecord | null, newer: ChaosRecord): ChaosRecord {
  if (earlier === null || !isDeepStrictEqual(earlier.size, newer.size)) return newer;
  const nameOf = ({ fault, secure, seed }: ChaosResult): string => `${fault} ${seed} ${String(secure)}`;
  const again = new Set(newer.results.map(nameOf));
  return {
    ...newer,
    results: [...earlier.results.filter((one) => !again.has(nameOf(one))), ...newer.results],
  };
}

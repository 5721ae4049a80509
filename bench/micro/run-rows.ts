import { run } from '../fixtures/child.ts';
import type { Figure, Row } from './row.ts';

/** What came of all rows, in order. */
export interface RowResults {
  readonly figures: readonly Figure[];
  readonly failures: readonly { readonly row: string; readonly reason: string }[];
}

/**
 * Measures one row after the other; one that fails does not keep the others from being measured.
 * @param events.say one line of progress
 * @throws what the signal was aborted with
 */
export async function runRows(
  rows: readonly Row[],
  options: { readonly runs: number; readonly signal: AbortSignal },
  events: { readonly say: (text: string) => void; readonly measured?: (figure: Figure) => void },
): Promise<RowResults> {
  const { runs, signal } = options;
  const figures: Figure[] = [];
  const failures: { row: string; reason: string }[] = [];
  for (const row of rows) {
    const say = (text: string): void => events.say(`${row.name}: ${text}`);
    try {
      await checkNeeds(row);
      const found = await row.measure({ signal, runs, say });
      figures.push(...found);
      for (const figure of found) events.measured?.(figure);
    } catch (error) {
      signal.throwIfAborted();
      failures.push({ row: row.name, reason: (error as Error).message });
      say(`not measured: ${(error as Error).message}`);
    }
  }
  return { figures, failures };
}

/** @throws Error when a program is missing */
async function checkNeeds({ needs = [] }: Row): Promise<void> {
  for (const program of needs) {
    const { code } = await run('sh', ['-c', `command -v ${program}`]);
    if (code !== 0) throw new Error(`${program} is not installed`);
  }
}

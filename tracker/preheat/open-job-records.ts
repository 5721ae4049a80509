import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { openLevelKeyValue } from '../../lib/store/key-value/level-key-value.ts';

/**
 * Opens the records of preheat jobs. A tracker is of use without them: when they cannot be opened, for example because
 * another one on this machine has the same folder, jobs are kept in memory.
 * @param dataDir of the tracker
 * @returns undefined: in memory
 */
export async function openJobRecords(log: Logger, dataDir: string): Promise<KeyValue | undefined> {
  const folder = join(dataDir, 'jobs');
  try {
    await mkdir(dataDir, { recursive: true });
    return await openLevelKeyValue(folder);
  } catch (error) {
    log.warn(
      { folder, problem: describeError(error) },
      'preheat jobs are kept in memory only: a restart will forget them',
    );
    return undefined;
  }
}

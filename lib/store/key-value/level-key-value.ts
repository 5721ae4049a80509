import { Level } from 'level';
import { DamselflyError } from '../../core/errors.ts';
import { storeError } from '../store-error.ts';
import type { KeyValue } from './key-value.ts';

/** Above every UTF-8 text: the end of a prefix. */
const LAST = '\uffff';

/**
 * Opens the records in `folder`, created when absent. One process at a time.
 * @throws STORE_FAILED, also when another process has it open
 */
export async function openLevelKeyValue(folder: string): Promise<KeyValue> {
  const level = new Level<string, Uint8Array>(folder, { keyEncoding: 'utf8', valueEncoding: 'view' });
  try {
    await level.open();
  } catch (error) {
    throw openError(error as Error, folder);
  }
  return {
    get: (key) => level.get(key),
    batch: (operations, options) => level.batch([...operations], { sync: options?.sync === true }),
    entries: (prefix) => level.iterator({ gte: prefix, lt: prefix + LAST }),
    close: () => level.close(),
  };
}

function openError(error: Error, folder: string): DamselflyError {
  const cause = error.cause as (Error & { code?: string }) | undefined;
  if (cause?.code === 'LEVEL_LOCKED') {
    return new DamselflyError(
      'STORE_FAILED',
      `another daemon uses the store in ${folder}; stop it or choose another data directory`,
      { folder },
      { cause: error },
    );
  }
  return storeError(cause ?? error, `open the store in ${folder}`, { folder });
}

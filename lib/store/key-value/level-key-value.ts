import { Level } from 'level';
import { DamselflyError } from '../../core/errors.ts';
import { createSerial } from '../serial.ts';
import { storeError } from '../store-error.ts';
import type { KeyValue } from './key-value.ts';

/** Above every UTF-8 text: the end of a prefix. */
const LAST = '\uffff';
/** Read in one go: each costs a way to a thread and back. */
const READ_AHEAD_BYTES = 256 * 1024;

/**
 * Opens the records in `folder`, created when absent. One process at a time.
 * @throws STORE_LOCKED when another process has it open; STORE_READ_ONLY, STORE_FULL, STORE_FAILED
 */
export async function openLevelKeyValue(folder: string): Promise<KeyValue> {
  const level = new Level<string, Uint8Array>(folder, { keyEncoding: 'utf8', valueEncoding: 'view' });
  try {
    await level.open();
  } catch (error) {
    throw openError(error as Error, folder);
  }
  const serial = createSerial();
  let broken = false;
  return {
    get: (key) => level.get(key),
    batch: (operations, options) =>
      serial(async () => {
        try {
          if (broken) {
            await level.close();
            await level.open();
          }
          broken = false;
          await level.batch([...operations], { sync: options?.sync === true });
        } catch (error) {
          // A log that broke off may hide what is written after it, and a failed compaction takes no more writes.
          broken = true;
          throw causeOf(error as Error);
        }
      }),
    entries: (prefix) =>
      level.iterator({ gte: prefix, lt: prefix + LAST, highWaterMarkBytes: READ_AHEAD_BYTES }),
    close: () => serial(() => level.close()),
  };
}

/** When LevelDB cannot be opened, the system's words are in the cause. */
function causeOf(error: Error): Error {
  return error.cause instanceof Error ? error.cause : error;
}

function openError(error: Error, folder: string): DamselflyError {
  const cause = causeOf(error) as Error & { code?: string };
  if (cause.code === 'LEVEL_LOCKED') {
    return new DamselflyError(
      'STORE_LOCKED',
      `another process uses the store in ${folder}; stop it or choose another --data-dir`,
      { folder },
      { cause: error },
    );
  }
  return storeError(cause, `open the store in ${folder}`, { folder });
}

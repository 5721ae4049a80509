import { join } from 'node:path';
import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Disk } from './disk/disk.ts';
import type { KeyValue, KeyValueOperation } from './key-value/key-value.ts';
import { blobFolder, blobPath, blobsFolder, ingestFolder, ingestPath } from './path.ts';
import { BLOB_PREFIX, type BlobRecord, decodeBlobRecord } from './record.ts';
import { removalOf } from './record-writer.ts';

interface RecoverDeps {
  readonly disk: Disk;
  readonly keyValue: KeyValue;
  readonly log: Logger;
  readonly folder: string;
}

/**
 * What survived the last run. Brings records and files together again: commits that a crash cut off are finished,
 * records without a file of the right size and files without a record go.
 */
export async function recover(deps: RecoverDeps): Promise<BlobRecord[]> {
  const { disk, keyValue, log, folder } = deps;
  await disk.makeFolder(ingestFolder(folder));
  const found: BlobRecord[] = [];
  const files = new Set<string>();
  const removals: KeyValueOperation[] = [];
  for await (const [key, value] of keyValue.entries(BLOB_PREFIX)) {
    const record = decodeBlobRecord(key, value);
    const path = record === undefined ? undefined : await fileOf(deps, record);
    if (record === undefined || path === undefined) {
      log.warn({ key }, 'dropped the record of a blob: unreadable, or its file is gone');
      removals.push({ type: 'del', key });
      if (record !== undefined) removals.push(...(await removalOf(keyValue, record.info.digest)));
      continue;
    }
    found.push(record);
    files.add(path);
  }
  // Before anything can be written where a dropped record still points to.
  if (removals.length > 0) await keyValue.batch(removals, { sync: true });
  const litter = (await filesOnDisk(deps)).filter((path) => !files.has(path));
  for (const path of litter) {
    log.info({ path }, 'removing a file that no record names');
    await disk.remove(path).catch((error: unknown) => {
      log.warn({ path, error: describeError(error) }, 'a file could not be removed');
    });
  }
  return found;
}

/** The file that holds what the record says, moved into place; undefined when there is none. */
async function fileOf({ disk, folder }: RecoverDeps, record: BlobRecord): Promise<string | undefined> {
  const { digest, size } = record.info;
  const partial = ingestPath(folder, digest);
  if (!record.complete) return (await disk.size(partial)) === size ? partial : undefined;
  const whole = blobPath(folder, digest);
  if ((await disk.size(whole)) === size) return whole;
  if ((await disk.size(partial)) !== size) return undefined;
  await disk.makeFolder(blobFolder(folder, digest));
  await disk.rename(partial, whole);
  return whole;
}

async function filesOnDisk({ disk, folder }: RecoverDeps): Promise<string[]> {
  const children = async (folders: readonly string[]): Promise<string[]> => {
    const paths: string[] = [];
    for (const each of folders) for (const name of await disk.list(each)) paths.push(join(each, name));
    return paths;
  };
  const algorithms = await children([blobsFolder(folder)]);
  return [...(await children(await children(algorithms))), ...(await children([ingestFolder(folder)]))];
}

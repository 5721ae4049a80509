import { join } from 'node:path';
import type { Digest } from '../core/digest.ts';
import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Disk } from './disk/disk.ts';
import type { KeyValue } from './key-value/key-value.ts';
import { blobFolder, blobPath, blobsFolder, digestOfIngestName, ingestFolder, ingestPath } from './path.ts';
import { BLOB_PREFIX, type BlobRecord, decodeBlobRecord, keysOf } from './record.ts';

/** Folders listed at once. */
const LISTINGS = 8;

interface RecoverDeps {
  readonly disk: Disk;
  readonly keyValue: KeyValue;
  readonly log: Logger;
  readonly folder: string;
}

/**
 * What survived the last run. Brings records and files together again: renames that a crash cut off are finished,
 * records without a file and files without a record go. Files are known by their names alone: what is in one is
 * looked at when it is first opened.
 * @param make what to keep of a record, with `fresh` set: no file was found yet
 */
export async function recover<T extends BlobRecord & { fresh: boolean }>(
  deps: RecoverDeps,
  make: (record: BlobRecord) => T,
): Promise<Map<Digest, T>> {
  const { disk, keyValue, log, folder } = deps;
  await disk.makeFolder(ingestFolder(folder));
  const found = new Map<Digest, T>();
  const removals: string[] = [];
  for await (const [key, value] of keyValue.entries(BLOB_PREFIX)) {
    const record = decodeBlobRecord(key, value);
    if (record === undefined) removals.push(key);
    else found.set(record.info.digest, make(record));
  }
  const misplaced: T[] = [];
  const litter: string[] = [];
  /** A file with the name of a blob, where complete ones lie or where partial ones do. */
  const see = (folder: string, name: string, digest: string | undefined, complete: boolean): void => {
    const record = digest === undefined ? undefined : found.get(digest as Digest);
    if (record?.complete === complete) record.fresh = false;
    else if (record === undefined) litter.push(join(folder, name));
    else misplaced.push(record);
  };
  for (const algorithm of await disk.list(blobsFolder(folder))) {
    const ofAlgorithm = join(blobsFolder(folder), algorithm);
    const listings = (await disk.list(ofAlgorithm)).map((prefix) => async (): Promise<void> => {
      const inFolder = join(ofAlgorithm, prefix);
      for (const name of await disk.list(inFolder)) {
        see(inFolder, name, name.startsWith(prefix) ? `${algorithm}:${name}` : undefined, true);
      }
    });
    while (listings.length > 0) await Promise.all(listings.splice(-LISTINGS).map((list) => list()));
  }
  for (const name of await disk.list(ingestFolder(folder))) {
    see(ingestFolder(folder), name, digestOfIngestName(name), false);
  }
  for (const record of misplaced) {
    const { digest } = record.info;
    const paths = [ingestPath(folder, digest), blobPath(folder, digest)] as const;
    const [right, other] = record.complete ? [paths[1], paths[0]] : paths;
    // With both there, the one that the record does not mean is what a crash left.
    if (!record.fresh) litter.push(other);
    else {
      await disk.makeFolder(blobFolder(folder, digest));
      await disk.rename(other, right);
      record.fresh = false;
    }
  }
  for (const { fresh, info } of found.values()) {
    if (!fresh) continue;
    found.delete(info.digest);
    removals.push(...keysOf(info));
  }
  if (removals.length > 0) {
    log.warn({ records: removals.length }, 'dropping records that are unreadable, or whose blob is gone');
    // Before anything can be written where a dropped record still points to.
    await keyValue.batch(
      removals.map((key) => ({ type: 'del', key })),
      { sync: true },
    );
  }
  for (const path of litter) {
    log.info({ path }, 'removing a file that no record names');
    await disk.remove(path).catch((error: unknown) => {
      log.warn({ path, error: describeError(error) }, 'a file could not be removed');
    });
  }
  return found;
}

import { DamselflyError } from '../../core/errors.ts';
import { pieceLength } from '../../core/geometry.ts';
import type { Disk } from '../disk/disk.ts';
import type { KeyValue, KeyValueOperation } from '../key-value/key-value.ts';
import { BLOB_PREFIX } from '../record.ts';
import { readLayout, writeLayout } from '../version.ts';
import { type BlobRecords, LAYOUTS, type Layout } from './layouts.ts';

export interface MigrationDeps {
  readonly disk: Disk;
  /** Opens the records of the folder; they are closed again. */
  readonly openRecords: () => Promise<KeyValue>;
  readonly folder: string;
}

/** What a migration did, or would do. */
export interface MigrationReport {
  readonly folder: string;
  readonly from: number;
  readonly to: number;
  /** Blobs whose records are written anew, and their verified bytes, which stay where they are. */
  readonly blobs: number;
  readonly bytes: number;
  /** Blobs that cannot be taken along: their records go now, their files with the next start. */
  readonly dropped: number;
  /** Nothing was written. */
  readonly dryRun: boolean;
}

/**
 * Brings the records of a data directory to another layout, forward or back; files stay as they are. One blob after the
 * other, each at once or not at all: a migration that is interrupted goes on when it is run again, or goes
 * back when its folder is brought to the layout that it still says it has.
 * @throws STORE_VERSION when the folder, or `to`, is of a layout that this version does not know; STORE_*
 */
export async function migrateFolder(
  { disk, folder, openRecords }: MigrationDeps,
  to: number,
  { dryRun }: { readonly dryRun: boolean },
): Promise<MigrationReport> {
  const from = await readLayout(disk, folder);
  if (from === undefined) {
    throw new DamselflyError('STORE_VERSION', `${folder} is no data directory`, { folder });
  }
  const target = LAYOUTS.get(to);
  if (!LAYOUTS.has(from) || target === undefined) {
    throw new DamselflyError(
      'STORE_VERSION',
      `${folder}: cannot go from layout ${from} to layout ${to}; this version of Damselfly knows ${[...LAYOUTS.keys()].join(', ')}`,
      { folder, found: from, expected: to },
    );
  }
  const keyValue = await openRecords();
  try {
    const counted = await rewrite(keyValue, target, dryRun);
    // Last: until then it is of the layout that it was, also when some of its records are not any more.
    if (!dryRun && from !== to) await writeLayout(disk, folder, to);
    return { folder, from, to, ...counted, dryRun };
  } finally {
    await keyValue.close();
  }
}

async function rewrite(
  keyValue: KeyValue,
  target: Layout,
  dryRun: boolean,
): Promise<Pick<MigrationReport, 'blobs' | 'bytes' | 'dropped'>> {
  const sources = [...LAYOUTS.values()].filter((layout) => layout !== target);
  let [blobs, bytes, dropped] = [0, 0, 0];
  for await (const records of blobsOf(keyValue)) {
    // A run that was interrupted has left some in the target's layout already.
    if (target.decode(records) !== undefined) continue;
    const [blob] = sources.flatMap((layout) => layout.decode(records) ?? []);
    const written = blob === undefined ? undefined : target.encode(blob);
    if (blob === undefined || written === undefined) dropped++;
    else {
      blobs++;
      bytes += blob.proofs.reduce((sum, { index }) => sum + pieceLength(blob.info, index), 0);
    }
    if (dryRun) continue;
    const keys = [BLOB_PREFIX + records.digest, ...records.pieces.map(([key]) => key)];
    const removals = keys.map((key): KeyValueOperation => ({ type: 'del', key }));
    await keyValue.batch([...removals, ...(written ?? [])]);
  }
  // What was written before is on stable storage with this, which there never is.
  if (!dryRun) await keyValue.batch([{ type: 'del', key: 'migrated' }], { sync: true });
  return { blobs, bytes, dropped };
}

async function* blobsOf(keyValue: KeyValue): AsyncGenerator<BlobRecords> {
  // Known before anything is written: records change while they are gone through.
  const digests: string[] = [];
  for await (const [key] of keyValue.entries(BLOB_PREFIX)) digests.push(key.slice(BLOB_PREFIX.length));
  for (const digest of digests) {
    const blob = await keyValue.get(BLOB_PREFIX + digest);
    if (blob === undefined) continue;
    const pieces: [string, Uint8Array][] = [];
    for await (const entry of keyValue.entries(`piece/${digest}/`)) pieces.push(entry);
    yield { digest, blob, pieces };
  }
}

import { DamselflyError } from '../core/errors.ts';
import type { Disk } from './disk/disk.ts';
import { recordsFolder, versionPath } from './path.ts';

/** Of the layout of a data directory and of its records. */
export const LAYOUT = 2;
/** It had no file that says so. */
const FIRST_LAYOUT = 1;

/** Sees to it that the folder is one of this version, or a new one. @throws STORE_VERSION, what the disk throws */
export async function claimFolder(disk: Disk, folder: string): Promise<void> {
  await disk.makeFolder(folder);
  const text = await disk.readText(versionPath(folder));
  if (text === undefined && (await disk.list(recordsFolder(folder))).length === 0) {
    await writeLayout(disk, folder, LAYOUT);
    return;
  }
  const found = text === undefined ? String(FIRST_LAYOUT) : text.trim().slice(0, 20);
  if (found === String(LAYOUT)) return;
  const older = Number(found) < LAYOUT;
  const how = older
    ? `bring it here with "dfget store migrate --data-dir ${folder}"`
    : `bring it back with "dfget store migrate --to ${LAYOUT}" of the version that wrote it`;
  throw new DamselflyError(
    'STORE_VERSION',
    `${folder} was written by another version of Damselfly (layout ${found}, this one is ${LAYOUT}): ${how}; ` +
      'or choose another --data-dir, or remove the folders blobs, ingest and records and the file version in it',
    { folder, found, expected: LAYOUT },
  );
}

/** @returns undefined when the folder is no data directory; NaN for a version file that is none */
export async function readLayout(disk: Disk, folder: string): Promise<number | undefined> {
  const text = await disk.readText(versionPath(folder));
  if (text !== undefined) return /^\d{1,9}$/.test(text.trim()) ? Number(text.trim()) : Number.NaN;
  return (await disk.list(recordsFolder(folder))).length > 0 ? FIRST_LAYOUT : undefined;
}

/** Says which layout the folder has. */
export async function writeLayout(disk: Disk, folder: string, layout: number): Promise<void> {
  if (layout === FIRST_LAYOUT) await disk.remove(versionPath(folder));
  else await disk.writeText(versionPath(folder), `${layout}\n`);
}

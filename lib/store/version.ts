import { DamselflyError } from '../core/errors.ts';
import type { Disk } from './disk/disk.ts';
import { recordsFolder, versionPath } from './path.ts';

/** Of the layout of a data directory and of its records. Version 1 had no file that says so. */
const VERSION = 2;

/** Sees to it that the folder is one of this version, or a new one. @throws STORE_VERSION, what the disk throws */
export async function claimFolder(disk: Disk, folder: string): Promise<void> {
  await disk.makeFolder(folder);
  const text = await disk.readText(versionPath(folder));
  if (text === undefined && (await disk.list(recordsFolder(folder))).length === 0) {
    await disk.writeText(versionPath(folder), `${VERSION}\n`);
    return;
  }
  const found = text === undefined ? '1' : text.trim().slice(0, 20);
  if (found === String(VERSION)) return;
  throw new DamselflyError(
    'STORE_VERSION',
    `${folder} was written by another version of Damselfly (layout ${found}, this one is ${VERSION}): ` +
      `choose another --data-dir, or remove the folders blobs, ingest and records and the file version in it`,
    { folder, found, expected: VERSION },
  );
}

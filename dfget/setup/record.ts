import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { MachineFiles } from './machine-files.ts';
import { refuse } from './refuse.ts';

/** Where it is kept what a client's files were before; ours, and the one above it too. */
const FOLDER = '/var/lib/damselfly/setup';
/** Configurations may hold passwords. */
const PRIVATE = { mode: 0o600, uid: -1, gid: -1 };

const recordSchema = z.object({
  version: z.literal(1),
  files: z.array(
    z.object({
      path: z.string(),
      /** Name of the copy of what was there; null when nothing was. */
      original: z.string().nullable(),
      rights: z.object({ mode: z.number(), uid: z.number(), gid: z.number() }).nullable(),
      /** SHA-256 of what was there; null when nothing was. */
      before: z.string().nullable(),
      /** SHA-256 of everything that setup wrote there, the last one last. */
      written: z.array(z.string()),
      /** The client reads it only when it starts, or is told to. */
      needsRestart: z.boolean(),
    }),
  ),
  /** Folders that setup made, the deepest last. */
  folders: z.array(z.string()),
});

/** What setup did to the files of one configuration. */
export type SetupRecord = z.output<typeof recordSchema>;
export type RecordedFile = SetupRecord['files'][number];

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export const recordFolder = (configuration: string): string => `${FOLDER}/${configuration}`;
const recordPath = (configuration: string): string => `${recordFolder(configuration)}/record.json`;
export const originalPath = (configuration: string, name: string): string =>
  `${recordFolder(configuration)}/original/${name}`;

/** @throws SETUP_REFUSED when it cannot be read */
export function loadRecord(files: MachineFiles, configuration: string): SetupRecord {
  const path = recordPath(configuration);
  const found = files.read(path);
  if (found === undefined) return { version: 1, files: [], folders: [] };
  try {
    return recordSchema.parse(JSON.parse(found.bytes.toString()));
  } catch {
    refuse(
      path,
      `it is damaged: put the originals beside it back by hand, and delete ${recordFolder(configuration)}`,
    );
  }
}

/** Nothing is left to undo. */
export function removeRecord(files: MachineFiles, configuration: string): void {
  files.removeTree(recordFolder(configuration));
  files.removeFolder(FOLDER);
  files.removeFolder(dirname(FOLDER));
}

export function saveRecord(files: MachineFiles, configuration: string, record: SetupRecord): void {
  files.write(recordPath(configuration), Buffer.from(`${JSON.stringify(record, null, 2)}\n`), PRIVATE);
}

/** Keeps what was there. @returns its name */
export function keepOriginal(
  files: MachineFiles,
  configuration: string,
  path: string,
  bytes: Buffer,
): string {
  const name = path.replaceAll('%', '%25').replaceAll('/', '%2F');
  files.write(originalPath(configuration, name), bytes, PRIVATE);
  return name;
}

/** The file as it was before setup; undefined when there was none. @throws SETUP_REFUSED when the copy is not what it was */
export function readOriginal(
  files: MachineFiles,
  configuration: string,
  file: RecordedFile,
): Buffer | undefined {
  if (file.original === null) return undefined;
  const path = originalPath(configuration, file.original);
  const bytes = files.read(path)?.bytes;
  if (bytes === undefined || sha256(bytes) !== file.before) {
    refuse(
      file.path,
      `the copy of what it was, ${path}, is missing or damaged: correct the file by hand, and delete ${recordFolder(configuration)}`,
    );
  }
  return bytes;
}

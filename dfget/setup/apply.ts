import { isUtf8 } from 'node:buffer';
import { dirname } from 'node:path';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { ConfigView, SetupClient, WantedRegistry } from './client.ts';
import type { FileRights, MachineFiles } from './machine-files.ts';
import {
  keepOriginal,
  loadRecord,
  originalPath,
  type RecordedFile,
  readOriginal,
  recordFolder,
  removeRecord,
  type SetupRecord,
  saveRecord,
  sha256,
} from './record.ts';
import { refuse } from './refuse.ts';

/** A file that is to become something else; undefined stands for no file. */
export interface FileChange {
  readonly path: string;
  readonly before: Buffer | undefined;
  readonly after: Buffer | undefined;
  readonly needsRestart: boolean;
}

/** What setup, or its undoing, would do, and how to do it. */
export interface Changes {
  readonly files: readonly FileChange[];
  readonly notes: readonly string[];
  /** Writes them. @throws SETUP_REFUSED */
  carryOut(): void;
}

/**
 * What has to change so that the client asks the mirror for `registries`, and for no others that an earlier setup gave
 * it. Files that nobody has touched since then are planned from what they were before it.
 * @throws SETUP_REFUSED
 */
export function planSetup(
  files: MachineFiles,
  client: SetupClient,
  registries: readonly WantedRegistry[],
): Changes {
  const { configuration } = client;
  const record = loadRecord(files, configuration);
  const known = (path: string): RecordedFile | undefined => record.files.find((file) => file.path === path);
  const view: ConfigView = {
    list: (folder) => listedBefore(files, record, folder),
    read(path) {
      const file = known(path);
      const current = files.read(path)?.bytes;
      const ours = file !== undefined && stateOf(file, current) === 'written';
      return textOf(path, ours ? readOriginal(files, configuration, file) : current);
    },
  };
  const plan = client.plan(view, registries);
  const kept: RecordedFile[] = [];
  const changes: FileChange[] = [];
  const originals: { file: RecordedFile; bytes: Buffer }[] = [];
  for (const { path, text, needsRestart } of plan.files) {
    const current = files.read(path);
    const before = current?.bytes;
    const after = Buffer.from(text);
    const file = known(path);
    if (file !== undefined) {
      if (before?.equals(after) === true) {
        if (file.before !== sha256(after)) kept.push(file);
        continue;
      }
      if (stateOf(file, before) === 'changed') refuseChanged(configuration, file);
      if (file.before !== sha256(after)) kept.push({ ...file, written: [...file.written, sha256(after)] });
    } else {
      if (before?.equals(after) === true) continue;
      const fresh = { ...recordedFile(path, current, after), needsRestart };
      if (current !== undefined) originals.push({ file: fresh, bytes: current.bytes });
      kept.push(fresh);
    }
    changes.push({ path, before, after, needsRestart });
  }
  const planned = new Set(plan.files.map(({ path }) => path));
  const dropped = record.files.filter(({ path }) => !planned.has(path));
  changes.push(...restored(files, configuration, dropped));

  const made = changes.flatMap(({ path, after }) =>
    after === undefined ? [] : files.missingFolders(dirname(path)),
  );
  const folders = [...new Set([...record.folders, ...made])];
  return {
    files: changes,
    notes: plan.notes,
    carryOut() {
      if (changes.length === 0) return;
      const names = originals.map(
        ({ file, bytes }) => [file, keepOriginal(files, configuration, file.path, bytes)] as const,
      );
      const originalOf = new Map(names);
      const complete = kept.map((file) => ({ ...file, original: originalOf.get(file) ?? file.original }));
      // First what is needed to go back, dropped files included, then the files: a crash between leaves nothing that cannot be undone.
      saveRecord(files, configuration, { version: 1, files: [...complete, ...dropped], folders });
      write(files, changes, record);
      finish(files, configuration, { version: 1, files: complete, folders });
    },
  };
}

/**
 * What has to change so that everything is as it was before setup, byte for byte.
 * @throws SETUP_REFUSED when a file was changed since
 */
export function planUndo(files: MachineFiles, client: SetupClient): Changes {
  const { configuration } = client;
  const record = loadRecord(files, configuration);
  const changes = restored(files, configuration, record.files);
  return {
    files: changes,
    notes: [],
    carryOut() {
      write(files, changes, record);
      finish(files, configuration, { ...record, files: [] });
    },
  };
}

/** Text of a file. @throws SETUP_REFUSED when it is none */
function textOf(path: string, bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  if (!isUtf8(bytes)) refuse(path, 'it is not text in UTF-8: correct it');
  return bytes.toString();
}

/** Names in a folder without those that setup itself put there. */
function listedBefore(files: MachineFiles, record: SetupRecord, folder: string): string[] {
  const ours = new Set(
    record.files.flatMap((file) =>
      file.before === null && stateOf(file, files.read(file.path)?.bytes) === 'written' ? [file.path] : [],
    ),
  );
  return files.list(folder).filter((name) => !ours.has(`${folder}/${name}`));
}

function stateOf(file: RecordedFile, current: Buffer | undefined): 'original' | 'written' | 'changed' {
  const digest = current === undefined ? null : sha256(current);
  if (digest === file.before) return 'original';
  return digest !== null && file.written.includes(digest) ? 'written' : 'changed';
}

function recordedFile(
  path: string,
  current: { readonly bytes: Buffer; readonly rights: FileRights } | undefined,
  after: Buffer,
): Omit<RecordedFile, 'needsRestart'> {
  return {
    path,
    original: null,
    rights: current?.rights ?? null,
    before: current === undefined ? null : sha256(current.bytes),
    written: [sha256(after)],
  };
}

function restored(
  files: MachineFiles,
  configuration: string,
  recorded: readonly RecordedFile[],
): FileChange[] {
  return recorded.flatMap((file) => {
    const { path, needsRestart } = file;
    const before = files.read(path)?.bytes;
    const state = stateOf(file, before);
    if (state === 'original') return [];
    if (state === 'changed') refuseChanged(configuration, file);
    return [{ path, before, after: readOriginal(files, configuration, file), needsRestart }];
  });
}

function refuseChanged(configuration: string, file: RecordedFile): never {
  const back =
    file.original === null
      ? `rm ${file.path}`
      : `cp ${originalPath(configuration, file.original)} ${file.path}`;
  throw new DamselflyError(
    'SETUP_REFUSED',
    `${file.path} was changed after setup wrote it; nothing was done. To lose that change: ${back}, then run this again. To keep it: take the mirror out by hand, then rm -r ${recordFolder(configuration)}`,
    { path: file.path },
  );
}

function write(files: MachineFiles, changes: readonly FileChange[], record: SetupRecord): void {
  for (const { path, after } of changes) {
    if (after === undefined) files.remove(path);
    else files.write(path, after, record.files.find((file) => file.path === path)?.rights ?? undefined);
  }
}

/** Notes what is left to undo, and removes what only setup had made. */
function finish(files: MachineFiles, configuration: string, record: SetupRecord): void {
  if (record.files.length > 0) {
    saveRecord(files, configuration, record);
    return;
  }
  for (const folder of record.folders.toReversed()) files.removeFolder(folder);
  removeRecord(files, configuration);
}

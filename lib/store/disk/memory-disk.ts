import { dirname } from 'node:path';
import type { Disk, DiskFile } from './disk.ts';

/** A disk in memory that does what tests tell it. Every promise settles by microtasks alone. */
export interface MemoryDisk extends Disk {
  /** From now on writes beyond this many bytes fail with ENOSPC; what is removed makes room again. */
  fillUpAfter(bytes: number): void;
  /** From now on every operation named fails with this errno name, until told otherwise. */
  fail(operations: readonly MemoryDiskOperation[], code: string): void;
  /** The disk works again. */
  heal(): void;
  /** Flips the bits of one byte of a file; `rot`: as bad media do, so that no time of change tells. */
  flip(path: string, offset: number, how?: 'rot'): void;
  /** Whether there is a file. */
  has(path: string): boolean;
  /** The bytes of a file, as they are. */
  bytesOf(path: string): Uint8Array;
  /**
   * The disk as found after a crash at this moment. `survives` tells for every sector of every write that was not
   * synced whether it reached the disk: the power went, and the machine started anew. Without it all did, and only the
   * process was killed. Names and sizes survive.
   */
  crash(survives?: () => boolean): MemoryDisk;
  /** Files open now. */
  readonly openFiles: number;
}

export type MemoryDiskOperation = keyof Disk | keyof DiskFile;

interface MemoryFile {
  readonly id: number;
  bytes: Uint8Array;
  /** A disk from before a crash has the same bytes: they are copied before they change. */
  shared: boolean;
  /** Takes the place of size and times. */
  changes: number;
  /** Writes since the last sync. */
  unsynced: { readonly start: number; readonly end: number }[];
  writtenBytes: number;
}

const TOTAL_BYTES = 2 ** 50;
/** What a disk writes as a whole or not at all; larger than real ones, of which there would be too many. */
const SECTOR_BYTES = 64 * 1024;

export function createMemoryDisk(files: Map<string, MemoryFile> = new Map(), boot = 0): MemoryDisk {
  const failing = new Map<MemoryDiskOperation, string>();
  let freeBytes = TOTAL_BYTES;
  let openFiles = 0;
  let nextId = files.size;

  const check = (operation: MemoryDiskOperation): void => {
    const code = failing.get(operation);
    if (code !== undefined) throw errno(code, operation);
  };
  const found = (path: string, operation: string): MemoryFile => {
    const file = files.get(path);
    if (file === undefined) throw errno('ENOENT', operation);
    return file;
  };
  const create = (bytes: Uint8Array): MemoryFile => ({
    ...{ id: nextId++, bytes, shared: false, changes: 0, unsynced: [], writtenBytes: bytes.length },
  });

  const openFile = (file: MemoryFile): DiskFile => {
    let open = true;
    openFiles++;
    const use = (operation: keyof DiskFile): void => {
      if (!open) throw errno('EBADF', operation);
      check(operation);
    };
    return {
      async write(bytes, offset) {
        use('write');
        const written = Math.min(bytes.length, freeBytes);
        freeBytes -= written;
        file.writtenBytes += written;
        file.changes++;
        own(file, Math.max(file.bytes.length, offset + written));
        file.bytes.set(bytes.subarray(0, written), offset);
        file.unsynced.push({ start: offset, end: offset + written });
        if (written < bytes.length) throw errno('ENOSPC', 'write');
      },
      async read(into, offset) {
        use('read');
        const part = file.bytes.subarray(offset, offset + into.length);
        into.set(part);
        return part.length;
      },
      async truncate(size) {
        use('truncate');
        own(file, size);
        file.changes++;
      },
      async sync() {
        use('sync');
        file.unsynced = [];
      },
      stamp() {
        use('stamp');
        return `${file.id} ${file.changes}`;
      },
      async close() {
        use('close');
        open = false;
        openFiles--;
      },
    };
  };

  return {
    get openFiles() {
      return openFiles;
    },
    async open(path) {
      check('open');
      const file = files.get(path) ?? create(new Uint8Array(0));
      files.set(path, file);
      return openFile(file);
    },
    async openToRead(path) {
      check('openToRead');
      const file = files.get(path);
      if (file === undefined) return undefined;
      const refused = (): Promise<never> => Promise.reject(errno('EBADF', 'write'));
      return { ...openFile(file), write: refused, truncate: refused };
    },
    async rename(from, to) {
      check('rename');
      const file = found(from, 'rename');
      files.delete(from);
      file.changes++;
      files.set(to, file);
    },
    async remove(path) {
      check('remove');
      freeBytes += files.get(path)?.writtenBytes ?? 0;
      files.delete(path);
    },
    async copy(from, to) {
      check('copy');
      files.set(to, create(found(from, 'copy').bytes.slice()));
    },
    async list(folder) {
      check('list');
      return [...new Set([...files.keys()].map((path) => nameIn(folder, path)))]
        .filter((name) => name !== undefined)
        .sort();
    },
    async makeFolder() {
      check('makeFolder');
    },
    async size(path) {
      check('size');
      return files.get(path)?.bytes.length;
    },
    async readText(path) {
      check('readText');
      const bytes = files.get(path)?.bytes;
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
    },
    async writeText(path, text) {
      check('writeText');
      files.set(path, create(new TextEncoder().encode(text)));
    },
    async space() {
      check('space');
      return { totalBytes: TOTAL_BYTES, freeBytes };
    },
    bootId: async () => `boot ${boot}`,
    fillUpAfter(bytes) {
      freeBytes = bytes;
    },
    fail(operations, code) {
      for (const operation of operations) failing.set(operation, code);
    },
    heal() {
      failing.clear();
      freeBytes = TOTAL_BYTES;
    },
    flip(path, offset, how) {
      const file = found(path, 'flip');
      own(file, file.bytes.length);
      file.bytes[offset] = (file.bytes[offset] ?? 0) ^ 0xff;
      if (how !== 'rot') file.changes++;
    },
    has: (path) => files.has(path),
    bytesOf: (path) => found(path, 'bytesOf').bytes.slice(),
    crash(survives) {
      const left = [...files].map(([path, file]): [string, MemoryFile] => {
        file.shared = true;
        const found = { ...file, unsynced: [] };
        if (survives !== undefined) lose(found, file.unsynced, survives);
        return [path, found];
      });
      return createMemoryDisk(new Map(left), survives === undefined ? boot : boot + 1);
    },
  };
}

/** Takes the sectors that did not reach the disk. */
function lose(file: MemoryFile, unsynced: MemoryFile['unsynced'], survives: () => boolean): void {
  for (const { start, end } of unsynced) {
    for (let at = start; at < end; ) {
      const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
      if (!survives()) {
        own(file, file.bytes.length);
        file.bytes.fill(0, at, next);
      }
      at = next;
    }
  }
}

/** Makes the bytes the file's own, as many as that. */
function own(file: MemoryFile, size: number): void {
  if (!file.shared && size === file.bytes.length) return;
  file.bytes = resized(file.bytes, size);
  file.shared = false;
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(bytes.subarray(0, size));
  return result;
}

/** The child of `folder` that holds, or is, `path`. */
function nameIn(folder: string, path: string): string | undefined {
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    if (dirname(at) === folder) return at.slice(folder.length + 1);
  }
  return undefined;
}

function errno(code: string, operation: string): Error {
  return Object.assign(new Error(`${code}: ${operation}`), { code });
}

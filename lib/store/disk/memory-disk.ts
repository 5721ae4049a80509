import { dirname } from 'node:path';
import type { Disk, DiskFile } from './disk.ts';

/** A disk in memory that does what tests tell it. Every promise settles by microtasks alone. */
export interface MemoryDisk extends Disk {
  /** From now on writes beyond this many bytes fail with ENOSPC. */
  fillUpAfter(bytes: number): void;
  /** From now on every operation named fails with this errno name, until told otherwise. */
  fail(operations: readonly MemoryDiskOperation[], code: string): void;
  /** The disk works again. */
  heal(): void;
  /**
   * The disk as found after a crash at this moment. `survives` tells for every write that was not synced whether it
   * reached the disk; without it all did (the process was killed, the machine went on). Names and sizes survive.
   */
  crash(survives?: () => boolean): MemoryDisk;
  /** Files open now. */
  readonly openFiles: number;
}

export type MemoryDiskOperation = keyof Disk | keyof DiskFile;

interface MemoryFile {
  bytes: Uint8Array;
  /** Writes since the last sync. */
  unsynced: { readonly start: number; readonly end: number }[];
}

export function createMemoryDisk(files: Map<string, MemoryFile> = new Map()): MemoryDisk {
  const failing = new Map<MemoryDiskOperation, string>();
  let freeBytes = Number.POSITIVE_INFINITY;
  let openFiles = 0;

  const check = (operation: MemoryDiskOperation): void => {
    const code = failing.get(operation);
    if (code !== undefined) throw errno(code, operation);
  };

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
        if (offset + written > file.bytes.length) file.bytes = resized(file.bytes, offset + written);
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
        file.bytes = resized(file.bytes, size);
      },
      async sync() {
        use('sync');
        file.unsynced = [];
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
      const file = files.get(path) ?? { bytes: new Uint8Array(0), unsynced: [] };
      files.set(path, file);
      return openFile(file);
    },
    async rename(from, to) {
      check('rename');
      const file = files.get(from);
      if (file === undefined) throw errno('ENOENT', 'rename');
      files.delete(from);
      files.set(to, file);
    },
    async remove(path) {
      check('remove');
      files.delete(path);
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
    fillUpAfter(bytes) {
      freeBytes = bytes;
    },
    fail(operations, code) {
      for (const operation of operations) failing.set(operation, code);
    },
    heal() {
      failing.clear();
      freeBytes = Number.POSITIVE_INFINITY;
    },
    crash(survives = () => true) {
      return createMemoryDisk(
        new Map([...files].map(([path, file]) => [path, { bytes: surviving(file, survives), unsynced: [] }])),
      );
    },
  };
}

function surviving(file: MemoryFile, survives: () => boolean): Uint8Array {
  const bytes = file.bytes.slice();
  for (const { start, end } of file.unsynced) if (!survives()) bytes.fill(0, start, end);
  return bytes;
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

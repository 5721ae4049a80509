import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import type { Disk, DiskFile } from './disk.ts';

/** Only our own user: who may read a blob is decided per request, not by the file system. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** The machine's file system. */
export function createNodeDisk(): Disk {
  return {
    async open(path) {
      return nodeFile(await open(path, constants.O_RDWR | constants.O_CREAT, FILE_MODE));
    },
    rename: (from, to) => rename(from, to),
    remove: (path) => rm(path, { force: true }),
    async list(folder) {
      const names = await absentAs([], readdir(folder));
      return names.sort();
    },
    async makeFolder(path) {
      await mkdir(path, { recursive: true, mode: FOLDER_MODE });
    },
    size: async (path) => (await absentAs(undefined, stat(path)))?.size,
  };
}

function nodeFile(handle: FileHandle): DiskFile {
  return {
    async write(bytes, offset) {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done);
        done += bytesWritten;
      }
    },
    async read(into, offset) {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    truncate: (size) => handle.truncate(size),
    // Size and block map are flushed too; only timestamps are not.
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}

async function absentAs<A, T>(absent: A, operation: Promise<T>): Promise<A | T> {
  try {
    return await operation;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return absent;
    throw error;
  }
}

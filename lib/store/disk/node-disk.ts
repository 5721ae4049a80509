import { randomUUID } from 'node:crypto';
import { constants, fstatSync } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  statfs,
} from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Disk, DiskFile } from './disk.ts';

/** Only our own user: who may read a blob is decided per request, not by the file system. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** The machine's file system. */
export function createNodeDisk(): Disk {
  return {
    async open(path) {
      return nodeFile(await open(path, constants.O_RDWR | constants.O_CREAT, FILE_MODE));
    },
    async openToRead(path, within) {
      const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
      const handle = await absentAs(undefined, open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
      let file: DiskFile | undefined;
      try {
        if (handle === undefined || !(await handle.stat()).isFile()) return undefined;
        if (within !== undefined) await requireNoLinks(handle, path, within);
        file = nodeFile(handle);
        return file;
      } finally {
        if (file === undefined) await handle?.close();
      }
    },
    rename: (from, to) => rename(from, to),
    remove: (path) => rm(path, { force: true }),
    copy: (from, to) => copyFile(from, to, constants.COPYFILE_FICLONE),
    async list(folder) {
      const names = await absentAs([], readdir(folder));
      return names.sort();
    },
    async makeFolder(path) {
      try {
        await mkdir(path, { recursive: true, mode: FOLDER_MODE });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        // What a recursive one says of a read-only disk; this one tells the reason.
        await mkdir(path, { mode: FOLDER_MODE });
      }
    },
    size: async (path) => (await absentAs(undefined, stat(path)))?.size,
    readText: (path) => absentAs(undefined, readFile(path, 'utf8')),
    async writeText(path, text) {
      const handle = await open(`${path}.new`, 'w', FILE_MODE);
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(`${path}.new`, path);
    },
    async space(folder) {
      const { bavail, blocks, bsize } = await statfs(folder);
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
    },
    // Where the system does not tell, every start is taken for one after a power cut.
    bootId: async () => (await absentAs(undefined, readFile(BOOT_ID, 'utf8'))) ?? randomUUID(),
  };
}

/** Of the open file and not of its name: whoever may write there could change what that leads to in between. */
async function requireNoLinks({ fd }: FileHandle, path: string, within: string): Promise<void> {
  const expected = join(await realpath(within), relative(within, path));
  // Where the system does not tell of open files, the name must do.
  const actual = await readlink(`/proc/self/fd/${fd}`).catch(() => realpath(path));
  // Another file may have taken its place since.
  if (actual === expected || actual === `${expected} (deleted)`) return;
  throw Object.assign(new Error(`ELOOP: ${path} leads to ${actual}`), { code: 'ELOOP' });
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
    // The kernel has this in memory: two microseconds, where a thread would cost fifty.
    stamp() {
      const { ctimeNs, ino, mtimeNs, size } = fstatSync(handle.fd, { bigint: true });
      return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
    },
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

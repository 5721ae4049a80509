import type { Rng } from '../../lib/runtime/rng.ts';
import type { Disk, DiskFile } from '../../lib/store/disk/disk.ts';
import type { MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import type { MemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { SimProcess } from './sim-process.ts';

/** How long an operation takes at least, and how much longer at most. */
const OPERATION_MS = 0.05;
const JITTER_MS = 0.5;
/** A sync waits for the device. */
const SYNC_MS = 4;
/** A write of more than this may be cut in two by a crash. */
const ATOMIC_BYTES = 4096;

export interface DiskPace {
  /** 1 is an ordinary disk. */
  slowness: number;
}

/** A disk, and the records on it, as one process sees them: each operation takes time, in which the process may die. */
export interface ProcessDisk {
  readonly disk: Disk;
  readonly keyValue: KeyValue;
}

export function processDisk(
  process: SimProcess,
  found: { readonly disk: MemoryDisk; readonly keyValue: MemoryKeyValue },
  rng: Rng,
  pace: DiskPace,
): ProcessDisk {
  const took = (ms = OPERATION_MS): Promise<void> =>
    process.pause((ms + rng.float() * JITTER_MS) * pace.slowness);

  const openFile = (file: DiskFile): DiskFile => ({
    async write(bytes, offset) {
      await took();
      const first = bytes.length > ATOMIC_BYTES ? rng.int(bytes.length) : 0;
      if (first > 0) {
        await file.write(bytes.subarray(0, first), offset);
        await took();
      }
      await file.write(bytes.subarray(first), offset + first);
      await took();
    },
    async read(into, offset) {
      await took();
      return await file.read(into, offset);
    },
    async truncate(size) {
      await took();
      await file.truncate(size);
    },
    async sync() {
      await took(SYNC_MS);
      await file.sync();
      await took();
    },
    stamp: () => file.stamp(),
    async close() {
      await took();
      await file.close();
    },
  });

  /** An operation on names, that happens in the middle of the time it takes. */
  const during = async <T>(operation: () => Promise<T>): Promise<T> => {
    await took();
    const result = await operation();
    await took();
    return result;
  };

  const { disk, keyValue } = found;
  return {
    disk: {
      open: async (path) => openFile(await during(() => disk.open(path))),
      openToRead: async (path, within) => {
        const file = await during(() => disk.openToRead(path, within));
        return file === undefined ? undefined : openFile(file);
      },
      rename: (from, to) => during(() => disk.rename(from, to)),
      remove: (path) => during(() => disk.remove(path)),
      copy: (from, to) => during(() => disk.copy(from, to)),
      list: (folder) => during(() => disk.list(folder)),
      makeFolder: (path) => during(() => disk.makeFolder(path)),
      size: (path) => during(() => disk.size(path)),
      readText: (path) => during(() => disk.readText(path)),
      writeText: (path, text) => during(() => disk.writeText(path, text)),
      space: (folder) => disk.space(folder),
      bootId: () => disk.bootId(),
    },
    keyValue: {
      get: (key) => during(() => keyValue.get(key)),
      async batch(operations, options) {
        await took(options?.sync === true ? SYNC_MS : OPERATION_MS);
        await keyValue.batch(operations, options);
        await took();
      },
      entries: (prefix) => keyValue.entries(prefix),
      close: () => keyValue.close(),
    },
  };
}

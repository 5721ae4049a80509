import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { type BlobStoreOptions, openBlobStore } from './blob-store.ts';
import { createNodeDisk } from './disk/node-disk.ts';
import { openLevelKeyValue } from './key-value/level-key-value.ts';
import { recordsFolder } from './path.ts';
import type { BlobStore } from './store.ts';

export interface NodeBlobStoreDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  readonly folder: string;
}

/**
 * The store of a process: files and records in one folder, created when absent. One process at a time.
 * @throws STORE_FULL, STORE_FAILED
 */
export async function openNodeBlobStore(
  deps: NodeBlobStoreDeps,
  options: BlobStoreOptions = {},
): Promise<BlobStore> {
  const disk = createNodeDisk();
  const keyValue = await openLevelKeyValue(recordsFolder(deps.folder));
  try {
    const store = await openBlobStore({ ...deps, disk, keyValue }, options);
    return {
      open: (digest) => store.open(digest),
      create: (info) => store.create(info),
      remove: (digest) => store.remove(digest),
      list: () => store.list(),
      close: async () => {
        try {
          await store.close();
        } finally {
          await keyValue.close();
        }
      },
    };
  } catch (error) {
    await keyValue.close();
    throw error;
  }
}

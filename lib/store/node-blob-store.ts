import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { type BlobStoreOptions, openBlobStore } from './blob-store.ts';
import { createNodeDisk } from './disk/node-disk.ts';
import { openLevelKeyValue } from './key-value/level-key-value.ts';
import { recordsFolder } from './path.ts';
import type { BlobStore } from './store.ts';
import { storeError } from './store-error.ts';
import { claimFolder } from './version.ts';
import type { WeightedFolder } from './volume-choice.ts';
import { isVolumeTrouble, joinVolumes, type Volume } from './volumes.ts';

export interface NodeStoreDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/**
 * The store of a process, on one folder or several. `maxBytes` is for all of them, shared by weight. With several, one
 * that cannot be opened is left out, and the log says so; nothing is served from it until the next start.
 * @throws STORE_LOCKED, STORE_VERSION; STORE_READ_ONLY, STORE_FULL, STORE_FAILED when no folder can be opened
 */
export async function openVolumes(
  deps: NodeStoreDeps,
  folders: readonly WeightedFolder[],
  options: BlobStoreOptions = {},
): Promise<BlobStore> {
  const total = folders.reduce((sum, { weight }) => sum + weight, 0);
  const volumes: Volume[] = [];
  let failure: unknown;
  try {
    for (const each of folders) {
      const { maxBytes } = options;
      const share = maxBytes === undefined ? {} : { maxBytes: (maxBytes * each.weight) / total };
      try {
        const store = await openNodeBlobStore({ ...deps, folder: each.folder }, { ...options, ...share });
        volumes.push({ ...each, store });
      } catch (error) {
        if (folders.length === 1 || !isVolumeTrouble(error)) throw error;
        failure ??= error;
        const facts = { folder: each.folder, error: describeError(error) };
        deps.log.error(facts, 'a data directory cannot be used: going on without it');
      }
    }
    if (volumes.length === 0) throw failure;
  } catch (error) {
    for (const { store } of volumes) await store.close().catch(() => {});
    throw error;
  }
  const [only] = volumes;
  return only !== undefined && folders.length === 1 ? only.store : joinVolumes(volumes, deps.log);
}

/**
 * The store in one folder: files and records, created when absent. One process at a time.
 * @throws STORE_LOCKED, STORE_VERSION, STORE_READ_ONLY, STORE_FULL, STORE_FAILED
 */
export async function openNodeBlobStore(
  deps: NodeStoreDeps & { readonly folder: string },
  options: BlobStoreOptions = {},
): Promise<BlobStore> {
  const { folder } = deps;
  const disk = createNodeDisk();
  try {
    await claimFolder(disk, folder);
  } catch (error) {
    throw storeError(error, `use the data directory ${folder}`, { folder });
  }
  const keyValue = await openLevelKeyValue(recordsFolder(folder));
  try {
    const store = await openBlobStore({ ...deps, disk, keyValue }, options);
    const close = store.close.bind(store);
    return Object.assign(store, {
      close: async () => {
        try {
          await close();
        } finally {
          await keyValue.close();
        }
      },
    });
  } catch (error) {
    await keyValue.close();
    throw error;
  }
}

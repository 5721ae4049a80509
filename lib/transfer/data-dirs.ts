import { resolve } from 'node:path';
import type { DataDir } from '../config/values.ts';
import { DamselflyError } from '../core/errors.ts';
import { loadNodeId } from '../runtime/system-identity.ts';
import type { BlobStoreOptions } from '../store/blob-store.ts';
import { containerdBlobs, openBorrowedBlobs } from '../store/borrowed-blobs.ts';
import { createNodeDisk } from '../store/disk/node-disk.ts';
import { layerStores } from '../store/layered-store.ts';
import { openVolumes } from '../store/node-blob-store.ts';
import type { BlobStore } from '../store/store.ts';
import { storeError } from '../store/store-error.ts';
import type { PeerHostDeps } from './host-parts.ts';
import type { PeerHostConfig } from './peer-host-config.ts';

/** Opens what is stored in the data directories, and the blobs of containerd. @throws CONFIG_INVALID, STORE_* */
export async function openStore(deps: PeerHostDeps, config: PeerHostConfig): Promise<BlobStore> {
  const { clock, log, rng, wallClockMs } = deps;
  const { containerdRoot, dataDir } = config;
  const own = await openVolumes({ clock, log, wallClockMs }, dataDir, storeOptions(config));
  if (containerdRoot === undefined) return own;
  try {
    const folder = containerdBlobs(containerdRoot);
    const borrowed = await openBorrowedBlobs({ disk: createNodeDisk(), clock, rng, log, folder });
    log.info({ folder, blobs: borrowed.list().length }, "containerd's blobs are shared from where they are");
    return layerStores(own, borrowed, log);
  } catch (error) {
    await own.close();
    throw error;
  }
}

/** How the stores keep house. @throws CONFIG_INVALID */
export function storeOptions(config: PeerHostConfig): BlobStoreOptions {
  const { scrubRate, storeHigh: high, storeLow: low, storeMax: maxBytes, storeTtl: ttlMs } = config;
  if (low > high) {
    throw new DamselflyError('CONFIG_INVALID', '--store-low is above --store-high; it must not be');
  }
  const folders = config.dataDir.map(({ folder }) => resolve(folder));
  const twice = folders.find((folder, index) => folders.indexOf(folder) < index);
  if (twice !== undefined) {
    throw new DamselflyError('CONFIG_INVALID', `--data-dir: ${twice} is given twice`);
  }
  return { maxBytes, high, low, ttlMs, scrubRate };
}

/**
 * Who we are, kept in the first data directory that can keep it: a lost one may be the first.
 * @throws STORE_*
 */
export async function nodeId(dataDirs: readonly DataDir[]): Promise<{ id: string; folder: string }> {
  let failure: unknown;
  for (const { folder } of dataDirs) {
    try {
      return { id: await loadNodeId(folder), folder };
    } catch (error) {
      failure ??= storeError(error, `keep the node id in ${folder}`, { folder });
    }
  }
  throw failure;
}

import type { Digest } from '../core/digest.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import type { BlobInfo } from '../core/geometry.ts';
import type { Logger } from '../observe/log.ts';
import type { BlobStore, BlobSummary, CollectReport, StoredBlob, VerifyReport } from './store.ts';
import { rankFolders, type WeightedFolder } from './volume-choice.ts';

/** One store of several. */
export interface Volume extends WeightedFolder {
  readonly store: BlobStore;
}

/**
 * Several stores as one, each on a disk of its own: a new blob goes where its digest says, or to the next when that one
 * is full or fails. A volume that is lost takes its blobs with it and no others.
 */
export function joinVolumes(volumes: readonly Volume[], log: Logger): BlobStore {
  const holders = (digest: Digest): Volume[] =>
    volumes.filter(({ store }) => store.get(digest) !== undefined);

  /** Where it is, wherever that should be now. */
  const onHolder = async <T>(
    digest: Digest,
    absent: T,
    job: (store: BlobStore) => Promise<T>,
  ): Promise<T> => {
    const [holder] = holders(digest);
    return holder === undefined ? absent : await job(holder.store);
  };

  /** The first volume that can. @throws what the first of them threw */
  const firstOf = async <T>(order: readonly Volume[], job: (store: BlobStore) => Promise<T>): Promise<T> => {
    let first: unknown;
    for (const { folder, store } of order) {
      try {
        return await job(store);
      } catch (error) {
        if (!isVolumeTrouble(error)) throw error;
        first ??= error;
        log.warn({ folder, error: describeError(error) }, 'a volume fails: trying the next');
      }
    }
    throw first;
  };

  return {
    async open(digest): Promise<StoredBlob | undefined> {
      const order = holders(digest);
      try {
        return await firstOf(order.length > 0 ? order : volumes.slice(0, 1), (store) => store.open(digest));
      } catch (error) {
        // Its volume is lost: the blob is created anew on another.
        if (isVolumeTrouble(error)) return undefined;
        throw error;
      }
    },
    async create(info: BlobInfo): Promise<StoredBlob> {
      const order = new Set([...holders(info.digest), ...rankFolders(info.digest, volumes)]);
      return firstOf([...order], (store) => store.create(info));
    },
    async remove(digest) {
      const removed = await Promise.all(holders(digest).map(({ store }) => store.remove(digest)));
      return removed.includes(true);
    },
    get: (digest): BlobSummary | undefined => holders(digest)[0]?.store.get(digest),
    list: () => volumes.flatMap(({ store }) => store.list()),
    pin: (digest) => onHolder(digest, false, (store) => store.pin(digest)),
    unpin: (digest) => onHolder(digest, false, (store) => store.unpin(digest)),
    async gc(): Promise<CollectReport> {
      const reports = await Promise.all(volumes.map(({ store }) => store.gc()));
      return {
        removed: reports.flatMap(({ removed }) => removed),
        freedBytes: reports.reduce((sum, { freedBytes }) => sum + freedBytes, 0),
      };
    },
    verify: (digest) =>
      onHolder<VerifyReport | undefined>(digest, undefined, (store) => store.verify(digest)),
    async export(digest, path) {
      const [holder] = holders(digest);
      if (holder === undefined) throw new DamselflyError('BLOB_UNKNOWN', 'the blob is not here', { digest });
      await holder.store.export(digest, path);
    },
    onLoss(listener) {
      for (const { store } of volumes) store.onLoss(listener);
    },
    async close() {
      const ends = await Promise.allSettled(volumes.map(({ store }) => store.close()));
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    },
  };
}

/** What another volume may do better. */
export function isVolumeTrouble(error: unknown): boolean {
  if (!(error instanceof DamselflyError)) return false;
  // Without a cause it is the caller who asked for what cannot be.
  if (error.code === 'STORE_FAILED') return error.cause !== undefined;
  return error.code === 'STORE_FULL' || error.code === 'STORE_READ_ONLY';
}

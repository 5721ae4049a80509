import type { Digest } from '../core/digest.ts';
import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { BorrowedStore } from './borrowed-blobs.ts';
import type { BlobStore, StoredBlob } from './store.ts';

/**
 * Our own store, and below it one that is only read: a blob that is whole there is used from there and not copied.
 * What changes the store changes our own alone.
 */
export function layerStores(own: BlobStore, borrowed: BorrowedStore, log: Logger): BlobStore {
  const borrow = async (digest: Digest): Promise<StoredBlob | undefined> => {
    try {
      return await borrowed.open(digest);
    } catch (error) {
      log.warn(
        { digest, error: describeError(error) },
        'a borrowed blob cannot be read: going on without it',
      );
      return undefined;
    }
  };
  return {
    ...{ pin: own.pin.bind(own), unpin: own.unpin.bind(own), gc: own.gc.bind(own) },
    async remove(digest) {
      // So that whoever removed it knows at once whether it still is to be had.
      await borrowed.find(digest).catch(() => {});
      return own.remove(digest);
    },
    async open(digest) {
      const kept = await own.open(digest);
      if (kept?.complete === true) return kept;
      const lent = await borrow(digest);
      if (lent === undefined) return kept;
      await kept?.close();
      return lent;
    },
    async create(info) {
      const lent = own.get(info.digest)?.complete === true ? undefined : await borrow(info.digest);
      if (lent?.info.size === info.size && lent.info.pieceBytes === info.pieceBytes) return lent;
      await lent?.close();
      return own.create(info);
    },
    get(digest) {
      const kept = own.get(digest);
      return kept?.complete === true ? kept : (borrowed.get(digest) ?? kept);
    },
    list() {
      const kept = own.list();
      const whole = new Set(kept.flatMap(({ complete, info }) => (complete ? [info.digest] : [])));
      const lent = borrowed.list().filter(({ info }) => !whole.has(info.digest));
      return [...kept, ...lent];
    },
    async verify(digest) {
      return (await own.verify(digest)) ?? (await borrowed.verify(digest));
    },
    async export(digest, path) {
      const from = own.get(digest)?.complete === true ? own : borrowed;
      await from.export(digest, path);
    },
    onLoss(listener) {
      own.onLoss(listener);
      borrowed.onLoss(listener);
    },
    async close() {
      await borrowed.close();
      await own.close();
    },
  };
}

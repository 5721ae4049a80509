import { blobInfo, MIN_PIECE_BYTES, pieceBytesFor } from '../../lib/core/geometry.ts';
import type { BlobStore } from '../../lib/store/store.ts';

/**
 * The store, with blobs cut into pieces of that many bytes, for everybody in the cluster alike: many pieces of few bytes
 * are as many decisions as many of many, in a tenth of the time. Small blobs stay one piece, as everybody expects.
 */
export function smallPieces(store: BlobStore, pieceBytes: number): BlobStore {
  return new Proxy(store, {
    get(target, key) {
      if (key === 'create') {
        const create: BlobStore['create'] = (info) =>
          target.create(blobInfo(info.digest, info.size, pieceBytesOf(info.size, pieceBytes)));
        return create;
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Of a blob of that size, where others have pieces of so many bytes. */
export function pieceBytesOf(size: number, pieceBytes: number): number {
  return size <= MIN_PIECE_BYTES ? pieceBytesFor(size) : pieceBytes;
}

import { DamselflyError } from '../core/errors.ts';
import type { BlobEntry } from './blob-entry.ts';
import type { OpenBlob } from './open-blob.ts';
import type { StoredBlob } from './store.ts';

/** One opener's view of a blob; `release` is called once. */
export function blobHandle(entry: BlobEntry, blob: OpenBlob, release: () => Promise<void>): StoredBlob {
  let closed: Promise<void> | undefined;
  const checkOpen = (): void => {
    if (closed !== undefined) throw new DamselflyError('STORE_FAILED', 'the blob is closed');
  };
  return {
    info: entry.info,
    have: blob.pieces.have,
    get complete() {
      return entry.complete;
    },
    proof: (index) => blob.proof(index),
    expect(proof) {
      checkOpen();
      blob.expect(proof);
    },
    async write(proof, bytes) {
      checkOpen();
      await blob.write(proof, bytes);
    },
    async read(offset, into) {
      checkOpen();
      await blob.read(offset, into);
    },
    async commit() {
      checkOpen();
      await blob.commit();
    },
    async reset() {
      checkOpen();
      await blob.reset();
    },
    close() {
      closed ??= release();
      return closed;
    },
  };
}

import { describeError } from '../../core/errors.ts';
import type { BlobStore } from '../../store/store.ts';
import type { SmallBlob } from '../../wire/small-blobs-codec.ts';
import type { EngineDeps } from '../engine-deps.ts';
import type { SmallBlobsAnswer, SmallBlobsRequest } from '../seams.ts';

/**
 * What we answer to a peer that asks for small blobs: those that the store has whole.
 * @param obtain brings a blob into the store that is not there, if it can
 */
export async function heldSmallBlobs(
  deps: Pick<EngineDeps, 'store' | 'metrics' | 'log' | 'grants'>,
  question: Omit<SmallBlobsRequest, 'address'>,
  obtain?: (blob: SmallBlob) => Promise<void>,
): Promise<SmallBlobsAnswer> {
  const permitted = deps.grants?.permitted(question);
  const held = async (blob: SmallBlob): Promise<Uint8Array | undefined> => {
    if (permitted?.has(blob.digest) === false) return undefined;
    try {
      const here = await readWhole(deps.store, blob);
      if (here !== undefined || obtain === undefined) return here;
      await obtain(blob);
      return await readWhole(deps.store, blob);
    } catch (error) {
      deps.log.warn({ digest: blob.digest, error: describeError(error) }, 'small blob not given to a peer');
      return undefined;
    }
  };
  const answer = await Promise.all(question.blobs.map(held));
  for (const bytes of answer) {
    if (bytes !== undefined) deps.metrics.sentBytes.inc({ to: 'peer' }, bytes.length);
  }
  return answer;
}

async function readWhole(store: BlobStore, { digest, size }: SmallBlob): Promise<Uint8Array | undefined> {
  const kept = await store.open(digest);
  try {
    if (kept?.complete !== true || kept.info.size !== size) return undefined;
    const bytes = new Uint8Array(size);
    await kept.read(0, bytes);
    return bytes;
  } finally {
    await kept?.close();
  }
}

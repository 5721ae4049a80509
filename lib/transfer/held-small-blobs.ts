import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { BlobStore } from '../store/store.ts';
import type { SmallBlob, SmallBlobsQuestion } from '../wire/small-blobs-codec.ts';
import type { SmallBlobsAnswer } from './seams.ts';

/**
 * What we answer to a peer that asks for small blobs: those that the store has whole.
 * @param obtain brings a blob into the store that is not there, if it can
 */
export async function heldSmallBlobs(
  deps: { readonly store: BlobStore; readonly metrics: Metrics; readonly log: Logger },
  { blobs }: SmallBlobsQuestion,
  obtain?: (blob: SmallBlob) => Promise<void>,
): Promise<SmallBlobsAnswer> {
  const held = async (blob: SmallBlob): Promise<Uint8Array | undefined> => {
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
  const answer = await Promise.all(blobs.map(held));
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

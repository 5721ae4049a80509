import type { BlobRequest } from '../../core/blob-source.ts';
import { blobInfo } from '../../core/geometry.ts';
import type { StoredBlob } from '../../store/store.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { EngineDeps } from '../engine-deps.ts';
import type { RegistryReads } from './registry-reads.ts';

/**
 * Reads a blob that somebody waits for whole, until it is complete or cannot be read.
 * @returns why it cannot
 */
export type ReadWhole = (request: BlobRequest, signal: AbortSignal) => Promise<unknown>;

/** @param activate has the supernode share the blob */
export function createReadWhole(
  { clock, store }: Pick<EngineDeps, 'clock' | 'store'>,
  reads: RegistryReads,
  activate: (
    digest: BlobRequest['digest'],
    open: () => Promise<StoredBlob>,
  ) => Promise<SharedBlob | undefined>,
): ReadWhole {
  return async ({ digest, origin, size }, signal) => {
    const blob = await activate(digest, () => store.create(blobInfo(digest, size)));
    if (blob === undefined || blob.info.size !== size) return undefined;
    blob.usedMs = clock.now();
    blob.readers++;
    try {
      const ended = reads.start(blob, origin);
      while (!blob.stored.complete && reads.underWay(blob)) await blob.nextChange(signal);
      return blob.stored.complete ? undefined : await ended;
    } finally {
      blob.readers--;
    }
  };
}

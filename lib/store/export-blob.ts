import { DamselflyError } from '../core/errors.ts';
import type { BlobEntry } from './blob-entry.ts';
import type { Disk } from './disk/disk.ts';
import { storeError } from './store-error.ts';
import type { Trust } from './trust.ts';
import type { VerifiedReads } from './verified-reads.ts';

/** A blob that is open. */
export interface ExportedBlob {
  readonly entry: BlobEntry;
  readonly reads: VerifiedReads;
  readonly trust: () => Trust | undefined;
}

/**
 * Copies a blob, verified, to a path outside the store.
 * @throws BLOB_UNKNOWN when it is not complete; PIECE_MISMATCH, STORE_*
 */
export async function exportBlob(
  disk: Disk,
  { entry, reads, trust }: ExportedBlob,
  path: string,
): Promise<void> {
  const { digest, size } = entry.info;
  const part = `${path}.part`;
  try {
    for (let attempt = 0; ; attempt++) {
      if (!entry.complete) {
        throw new DamselflyError('BLOB_UNKNOWN', 'not all of it is here', { digest });
      }
      await reads.verify(0, size);
      await disk.copy(entry.path, part);
      trust()?.look();
      if (trust()?.pieces.complete === true) break;
      if (attempt > 0) {
        throw new DamselflyError('STORE_FAILED', 'the file changes while it is copied', { digest });
      }
    }
    await disk.rename(part, path);
  } catch (error) {
    await disk.remove(part).catch(() => {});
    throw storeError(error, `export a blob to ${path}`, { digest });
  }
}

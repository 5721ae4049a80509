import type { BlobRequest } from '../../core/blob-source.ts';
import { DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import type { BlobStore } from '../../store/store.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';

/** A blob that left the swarm tells nobody: so often we look. */
const LOOK_MS = 1000;

export interface FetchAheadHost {
  /** Brings the blob when it is small and to be had in a moment. @throws ABORTED */
  small(request: BlobRequest, signal: AbortSignal): Promise<unknown>;
  /** The blob as part of the swarm; undefined when it is there with another size. @throws STORE_* */
  share(request: BlobRequest): Promise<SharedBlob | undefined>;
}

/**
 * Brings a whole blob onto this node although no client has asked for it: what clients wait for goes first.
 * @throws UPSTREAM_*, STORE_*, DIGEST_MISMATCH, ABORTED
 */
export async function fetchAhead(
  { clock, store }: { readonly clock: Clock; readonly store: BlobStore },
  request: BlobRequest,
  host: FetchAheadHost,
  signal: AbortSignal,
): Promise<void> {
  const { digest, size } = request;
  const isHere = (): boolean => size === 0 || store.get(digest)?.complete === true;
  if (!isHere()) await host.small(request, signal);
  while (!isHere()) {
    const blob = await host.share(request);
    if (blob === undefined) {
      const message = 'the blob is in the swarm with another size than the manifest tells';
      throw new DamselflyError('UPSTREAM_BROKEN', message, { digest, size });
    }
    blob.prefetched = true;
    try {
      while (!blob.stored.complete && !blob.retired) {
        if (blob.failure !== undefined) throw blob.failure;
        // It is of use for as long as somebody waits here.
        blob.usedMs = clock.now();
        blob.prefetched = true;
        await changeOf(blob, clock, signal);
      }
    } finally {
      // Whoever else waits for it says so again.
      blob.prefetched = false;
    }
  }
}

async function changeOf(blob: SharedBlob, clock: Clock, signal: AbortSignal): Promise<void> {
  try {
    await withDeadline(clock, LOOK_MS, signal, (either) => blob.nextChange(either));
  } catch (error) {
    if (signal.aborted) throw error;
  }
}

import type { BlobRequest, BlobSource } from '../lib/core/blob-source.ts';
import { createBlobHasher, type Digest, digestAlgorithm } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';

/** What a command tells of blobs on their way. */
export interface BlobEvents {
  blobStarted(digest: Digest, size: number): void;
  blobAdvanced(digest: Digest, bytes: number): void;
  blobDone(digest: Digest): void;
}

/**
 * A whole blob as it arrives, checked here against its digest: whoever has got all of it without an error has the right
 * bytes.
 * @throws DIGEST_MISMATCH after the last byte; UPSTREAM_*, BLOB_UNKNOWN, DAEMON_UNREACHABLE, ABORTED
 */
export async function* readChecked(
  source: BlobSource,
  request: BlobRequest,
  events: BlobEvents,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = request;
  const hasher = createBlobHasher(digestAlgorithm(digest));
  events.blobStarted(digest, size);
  for await (const chunk of source.open(request, { signal })) {
    hasher.update(chunk);
    events.blobAdvanced(digest, chunk.length);
    yield chunk;
  }
  const actual = hasher.digest();
  if (actual !== digest) {
    throw new DamselflyError('DIGEST_MISMATCH', 'a blob arrived with other bytes', {
      expected: digest,
      actual,
    });
  }
  events.blobDone(digest);
}

/** Reads to the end, for what reading does. */
export async function readWhole(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

import { createHash, type Hash } from 'node:crypto';
import type { BlobRequest } from '../../core/blob-source.ts';
import { digestAlgorithm, isFileKey } from '../../core/digest.ts';
import { DamselflyError, hasCode } from '../../core/errors.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import { endsWhole, HOLD_BACK_BYTES, wantedRange } from './blob-reader.ts';

/** Where a reader stands that has got bytes of its range already. */
export interface DirectFrom {
  readonly start: number;
  /**
   * Called only for a reader that will have the whole blob.
   * @param before hash of what comes before its range
   * @returns the hash of all bytes before `start`: that one, or another
   */
  readonly given?: (before: Hash) => Promise<Hash>;
}

/**
 * Reads a blob from the registry to a client, past store and swarm: the way out when our own disk fails. Of a reader that
 * will have the whole blob the end is held back until the digest matches; what it has from before its range is read
 * once more for that.
 * @throws DIGEST_MISMATCH, UPSTREAM_*, ABORTED; what `given` throws
 */
export async function* readDirectly(
  origin: OriginClient,
  request: BlobRequest,
  { given, start }: DirectFrom,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = request;
  const range = wantedRange(request);
  const read = { origin: request.origin, digest, size };
  // What a file without a digest is, the source's answer has told.
  const checked = endsWhole(request) && !isFileKey(digest);
  let hash = checked ? createHash(digestAlgorithm(digest)) : undefined;
  if (hash !== undefined && range.start > 0) {
    const before = readOn(origin, { ...read, start: 0, end: range.start }, signal);
    for await (const chunk of before) hash.update(chunk);
  }
  if (hash !== undefined && start > range.start) hash = (await given?.(hash)) ?? hash;
  const bytes = readOn(origin, { ...read, start, end: range.end }, signal);
  const safeEnd = hash === undefined ? range.end : Math.max(start, range.end - HOLD_BACK_BYTES);
  const held: Uint8Array[] = [];
  let at = start;
  for await (const chunk of bytes) {
    hash?.update(chunk);
    const safe = Math.max(0, Math.min(chunk.length, safeEnd - at));
    at += chunk.length;
    if (safe > 0) yield chunk.subarray(0, safe);
    if (safe < chunk.length) held.push(Uint8Array.from(chunk.subarray(safe)));
  }
  if (hash !== undefined) {
    const actual = `${digestAlgorithm(digest)}:${hash.digest('hex')}`;
    if (actual !== digest) {
      throw new DamselflyError('DIGEST_MISMATCH', 'the registry sent other bytes than the digest names', {
        expected: digest,
        actual,
      });
    }
  }
  yield* held;
}

/** The bytes over as many connections as the registry cuts, while each brings something. @throws UPSTREAM_*, ABORTED */
async function* readOn(
  origin: OriginClient,
  range: Parameters<OriginClient['readBlob']>[0] & { readonly start: number; readonly end: number },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let at = range.start; ; ) {
    const before = at;
    try {
      const { bytes } = await origin.readBlob({ ...range, start: at }, { signal });
      for await (const chunk of bytes) {
        at += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      const isCut = hasCode(error, 'UPSTREAM_BROKEN') && at > before && at < range.end;
      if (!isCut || signal.aborted) throw error;
    }
  }
}

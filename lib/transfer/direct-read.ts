import { createHash, type Hash } from 'node:crypto';
import type { BlobRequest } from '../core/blob-source.ts';
import { digestAlgorithm } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import type { OriginClient } from '../origin/origin-client.ts';

/** Kept back until the whole digest has matched, so that no client ever holds a complete wrong blob. */
export const HOLD_BACK_BYTES = 64 * 1024;

/**
 * Reads a blob from the registry to a client, past store and swarm: the way out when our own disk fails. With `hash`
 * (of the bytes before `start`) or from byte 0 on, the end is held back until the digest matches.
 * @throws DIGEST_MISMATCH, UPSTREAM_*, ABORTED
 */
export async function* readDirectly(
  origin: OriginClient,
  request: BlobRequest,
  from: { readonly start: number; readonly hash?: Hash },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { digest, size } = request;
  const end = request.range?.end ?? size;
  const hash =
    end === size && from.start === 0
      ? createHash(digestAlgorithm(digest))
      : end === size
        ? from.hash
        : undefined;
  const read = { origin: request.origin, digest, size, start: from.start, end };
  const body = await origin.readBlob(read, { signal });
  const safeEnd = hash === undefined ? end : Math.max(from.start, end - HOLD_BACK_BYTES);
  const held: Uint8Array[] = [];
  let at = from.start;
  for await (const chunk of body.bytes) {
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

import type { BlobRequest } from '../../core/blob-source.ts';
import { digestAlgorithm, digestOf } from '../../core/digest.ts';
import { DamselflyError } from '../../core/errors.ts';

/** A blob that is here has had its digest: another size is wrong. */
export function requireSize(request: BlobRequest, size: number): void {
  if (request.size !== size) throw sizeConflict(request);
}

export function sizeConflict({ digest, size }: BlobRequest): DamselflyError {
  return new DamselflyError('UPSTREAM_BROKEN', 'the blob has another size than it was asked for with', {
    digest,
    size,
  });
}

export function requireEmpty({ digest }: BlobRequest): void {
  if (digest === digestOf(new Uint8Array(), digestAlgorithm(digest))) return;
  throw new DamselflyError('DIGEST_MISMATCH', 'the blob is empty but its digest is not', {
    expected: digest,
  });
}

import type { Digest } from './digest.ts';
import { DamselflyError } from './errors.ts';
import type { ByteRange } from './range.ts';

/** How a blob is cut into pieces: `pieces` of `pieceBytes` each, the last one shorter. */
export interface Geometry {
  readonly size: number;
  readonly pieceBytes: number;
  readonly pieces: number;
}

/** A blob in a swarm: its name and its cut, agreed by everyone because both follow from digest and size. */
export interface BlobInfo extends Geometry {
  readonly digest: Digest;
}

const KIB = 1024;
const MIB = 1024 * KIB;
export const MIN_PIECE_BYTES = 256 * KIB;
export const MAX_PIECE_BYTES = 4 * MIB;
/** 1 TiB: no layer is larger, and piece indexes stay below 2^18. */
export const MAX_BLOB_BYTES = 1024 * 1024 * MIB;

/**
 * Piece size for a blob: the optimum grows with the square root of the size (more pieces pipeline better, fewer cost
 * fewer messages), rounded to a power of two: 1 MiB at 100 MiB, 2 MiB at 1 GiB, 4 MiB from 1.4 GB. In simulation 0.7
 * times that is best; between real processes, where a message costs more than its way, larger ones are faster and take
 * less CPU (docs/benchmarks/live.md). Beyond this the first byte and a resumed pull would wait for more than they need.
 */
export function pieceBytesFor(size: number): number {
  const ideal = 80 * Math.sqrt(Math.max(size, 1));
  const power = 2 ** Math.round(Math.log2(ideal));
  return Math.min(MAX_PIECE_BYTES, Math.max(MIN_PIECE_BYTES, power));
}

/** @throws UPSTREAM_BROKEN for a size that no blob has: a manifest may say anything, and memory is taken per piece */
export function blobInfo(digest: Digest, size: number, pieceBytes = pieceBytesFor(size)): BlobInfo {
  if (!Number.isSafeInteger(size) || size < 0 || size > MAX_BLOB_BYTES) {
    throw new DamselflyError('UPSTREAM_BROKEN', 'a blob is said to have a size that no blob has', {
      digest,
      size,
    });
  }
  return { digest, size, pieceBytes, pieces: Math.ceil(size / pieceBytes) };
}

export function pieceOffset(geometry: Geometry, index: number): number {
  return index * geometry.pieceBytes;
}

/** Length of piece `index` in bytes; only the last one is shorter than `pieceBytes`. */
export function pieceLength(geometry: Geometry, index: number): number {
  return Math.min(geometry.pieceBytes, geometry.size - index * geometry.pieceBytes);
}

/** The piece that a byte range is exactly, or undefined when it is not one whole piece. */
export function pieceOfRange(geometry: Geometry, range: ByteRange): number | undefined {
  const index = pieceAt(geometry, range.start);
  const exact =
    range.start === pieceOffset(geometry, index) &&
    index >= 0 &&
    index < geometry.pieces &&
    range.end - range.start === pieceLength(geometry, index);
  return exact ? index : undefined;
}

/** The piece that holds byte `offset`. */
export function pieceAt(geometry: Geometry, offset: number): number {
  return Math.floor(offset / geometry.pieceBytes);
}

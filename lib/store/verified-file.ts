import { createHash } from 'node:crypto';
import { digestHex, pieceHash } from '../core/digest.ts';
import { type BlobInfo, pieceLength, pieceOffset } from '../core/geometry.ts';
import type { PieceProof } from '../core/proof.ts';
import type { DiskFile } from './disk/disk.ts';

const HASH_BYTES = 32;
const UNSIGNED = new Uint8Array();

/** A whole file that had its digest when it was stamped, and the proofs of its pieces. */
export class VerifiedFile {
  readonly stamp: string;
  readonly #generation: string;
  readonly #hashes: Uint8Array;

  constructor(stamp: string, generation: string, hashes: Uint8Array) {
    this.stamp = stamp;
    this.#generation = generation;
    this.#hashes = hashes;
  }

  proof(index: number): PieceProof {
    const hash = this.#hashes.slice(index * HASH_BYTES, (index + 1) * HASH_BYTES);
    return { index, hash, generation: this.#generation, signature: UNSIGNED };
  }
}

/**
 * Reads all of a file named by its SHA-256.
 * @param generation of the proofs
 * @returns undefined when it is another blob, or was changed meanwhile. @throws what the disk throws
 */
export async function verifyFile(
  file: DiskFile,
  info: BlobInfo,
  generation: string,
): Promise<VerifiedFile | undefined> {
  const stamp = file.stamp();
  const whole = createHash('sha256');
  const hashes = new Uint8Array(info.pieces * HASH_BYTES);
  const buffer = new Uint8Array(Math.min(info.pieceBytes, info.size));
  for (let index = 0; index < info.pieces; index++) {
    const piece = buffer.subarray(0, pieceLength(info, index));
    if ((await file.read(piece, pieceOffset(info, index))) < piece.length) return undefined;
    whole.update(piece);
    hashes.set(pieceHash(piece), index * HASH_BYTES);
  }
  const matches = whole.digest('hex') === digestHex(info.digest) && file.stamp() === stamp;
  return matches ? new VerifiedFile(stamp, generation, hashes) : undefined;
}

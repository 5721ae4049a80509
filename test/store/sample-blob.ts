import { digestOf, pieceHash } from '../../lib/core/digest.ts';
import { type BlobInfo, blobInfo, pieceLength, pieceOffset } from '../../lib/core/geometry.ts';
import type { PieceProof } from '../../lib/core/proof.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import type { BlobStore, StoredBlob } from '../../lib/store/store.ts';

/** A blob whose bytes follow from a seed. */
export interface SampleBlob {
  readonly bytes: Uint8Array;
  readonly info: BlobInfo;
  readonly proofs: readonly PieceProof[];
  piece(index: number): Uint8Array;
}

export function sampleBlob(seed: number, size: number, pieceBytes = 1024, algorithm?: 'sha512'): SampleBlob {
  const rng = createRng(seed);
  const bytes = Uint8Array.from({ length: size }, () => rng.int(256));
  const info = blobInfo(digestOf(bytes, algorithm), size, pieceBytes);
  return withProofs(info, bytes, seed);
}

/** Proofs and pieces for bytes that need not match the digest. */
export function withProofs(info: BlobInfo, bytes: Uint8Array, seed: number): SampleBlob {
  const piece = (index: number): Uint8Array =>
    bytes.slice(pieceOffset(info, index), pieceOffset(info, index) + pieceLength(info, index));
  const proofs = Array.from({ length: info.pieces }, (_, index) => ({
    index,
    hash: new Uint8Array(pieceHash(piece(index))),
    generation: seed.toString(16).padStart(16, '0'),
    signature: new Uint8Array(index % 2 === 0 ? 0 : 80).fill(index),
  }));
  return { bytes, info, proofs, piece };
}

export async function writePieces(
  blob: StoredBlob,
  sample: SampleBlob,
  indexes: readonly number[],
): Promise<void> {
  for (const index of indexes) {
    const proof = sample.proofs[index];
    if (proof !== undefined) await blob.write(proof, sample.piece(index));
  }
}

/** Creates, fills and commits; the caller closes. */
export async function storeWhole(store: BlobStore, sample: SampleBlob): Promise<StoredBlob> {
  const blob = await store.create(sample.info);
  await writePieces(blob, sample, [...sample.proofs.keys()]);
  await blob.commit();
  return blob;
}

export async function readPiece(blob: StoredBlob, index: number): Promise<Uint8Array> {
  const into = new Uint8Array(pieceLength(blob.info, index));
  await blob.read(pieceOffset(blob.info, index), into);
  return into;
}

export async function readWhole(blob: StoredBlob): Promise<Uint8Array> {
  const into = new Uint8Array(blob.info.size);
  await blob.read(0, into);
  return into;
}

export function heldPieces(blob: StoredBlob): number[] {
  return Array.from({ length: blob.info.pieces }, (_, index) => index).filter((index) =>
    blob.have.has(index),
  );
}

import { pieceHash } from '../core/digest.ts';
import { type BlobInfo, MAX_PIECE_BYTES, pieceLength, pieceOffset } from '../core/geometry.ts';
import { type PieceProof, sameBytes } from '../core/proof.ts';
import type { DiskFile } from './disk/disk.ts';
import { createSerial, type Serial } from './serial.ts';

/** Buffers of a piece that hashing takes at most, so that memory does not grow with readers. */
const LANES = 2;

/** Holds pieces on disk against their proofs. */
export interface PieceHasher {
  /** @returns false when the bytes are others, or missing. @throws what the disk throws */
  matches(file: DiskFile, info: BlobInfo, proof: PieceProof): Promise<boolean>;
}

export function createPieceHasher(): PieceHasher {
  const lanes = Array.from({ length: LANES }, () => ({ run: createSerial(), waiting: 0 }));
  return {
    matches(file, info, proof) {
      const lane = lanes.reduce((a, b) => (b.waiting < a.waiting ? b : a));
      return inLane(lane, async () => {
        const length = pieceLength(info, proof.index);
        const piece = bufferOf(lane, length).subarray(0, length);
        const readBytes = await file.read(piece, pieceOffset(info, proof.index));
        return readBytes === length && sameBytes(pieceHash(piece), proof.hash);
      });
    },
  };
}

interface Lane {
  readonly run: Serial;
  waiting: number;
  buffer?: Uint8Array;
}

async function inLane<T>(lane: Lane, job: () => Promise<T>): Promise<T> {
  lane.waiting++;
  try {
    return await lane.run(job);
  } finally {
    lane.waiting--;
  }
}

/** Grows to the largest piece that was ever hashed. */
function bufferOf(lane: Lane, length: number): Uint8Array {
  if (lane.buffer === undefined || lane.buffer.length < length) {
    lane.buffer = new Uint8Array(Math.min(MAX_PIECE_BYTES, 2 ** Math.ceil(Math.log2(length))));
  }
  return lane.buffer;
}

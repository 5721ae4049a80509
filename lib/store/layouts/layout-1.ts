import { type Digest, isDigest } from '../../core/digest.ts';
import { type BlobInfo, blobInfo, MAX_BLOB_BYTES, MAX_PIECE_BYTES } from '../../core/geometry.ts';
import type { PieceProof } from '../../core/proof.ts';
import type { KeyValueOperation } from '../key-value/key-value.ts';
import { blobKey, piecePrefix } from '../record.ts';

/*
 * Records of layout 1, all numbers little-endian:
 *   blob/<digest>            1 as u8, state u8 (0 unsynced, 1 synced, 2 complete), piece size u32, size u64, used at f64
 *                            (ms since the epoch), then, unless complete, one bit for each piece held
 *   piece/<digest>/<index>   the proof of a piece held: hash 32, generation 8, signed u8, signature 64; the index as 6 hex
 *                            digits
 * Proofs were never signed. Files lie where they do in layout 2; the folder has no file that says its version.
 */

const VERSION = 1;
const HEAD_BYTES = 22;
const SYNCED = 1;
const COMPLETE = 2;
const PROOF_BYTES = 105;
const HASH_BYTES = 32;
const GENERATION_END = 40;

/** A blob as any layout knows it. */
export interface PortableBlob {
  readonly info: BlobInfo;
  readonly complete: boolean;
  readonly synced: boolean;
  readonly pinned: boolean;
  readonly usedAtMs: number;
  /** Of the pieces held. */
  readonly proofs: readonly PieceProof[];
}

/** @returns undefined for what is no blob record of this layout */
export function decodeBlob1(
  digest: string,
  bytes: Uint8Array,
): (Omit<PortableBlob, 'proofs'> & { readonly held: (index: number) => boolean }) | undefined {
  if (!isDigest(digest) || bytes.length < HEAD_BYTES || bytes[0] !== VERSION) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const state = view.getUint8(1);
  const pieceBytes = view.getUint32(2, true);
  const size = Number(view.getBigUint64(6, true));
  if (pieceBytes === 0 || pieceBytes > MAX_PIECE_BYTES || size > MAX_BLOB_BYTES) return undefined;
  const info = blobInfo(digest, size, pieceBytes);
  const complete = state === COMPLETE;
  const map = bytes.subarray(HEAD_BYTES);
  if (map.length !== (complete ? 0 : (info.pieces + 7) >>> 3)) return undefined;
  const held = (index: number): boolean => complete || ((map[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0;
  const usedAtMs = view.getFloat64(14, true);
  return { info, complete, synced: state >= SYNCED, pinned: false, usedAtMs, held };
}

/** @returns undefined for what is no piece record of this layout */
export function decodePiece1(index: number, bytes: Uint8Array): PieceProof | undefined {
  if (bytes.length !== PROOF_BYTES) return undefined;
  return {
    index,
    hash: bytes.slice(0, HASH_BYTES),
    generation: Buffer.from(bytes.subarray(HASH_BYTES, GENERATION_END)).toString('hex'),
    signature: new Uint8Array(0),
  };
}

/** What puts the blob into records of this layout. Pins and signatures have no place there. */
export function encodeBlob1({ complete, info, proofs, synced, usedAtMs }: PortableBlob): KeyValueOperation[] {
  const map = new Uint8Array(complete ? 0 : (info.pieces + 7) >>> 3);
  if (!complete) {
    for (const { index } of proofs) map[index >>> 3] = (map[index >>> 3] ?? 0) | (1 << (index & 7));
  }
  const bytes = new Uint8Array(HEAD_BYTES + map.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, complete ? COMPLETE : synced ? SYNCED : 0);
  view.setUint32(2, info.pieceBytes, true);
  view.setBigUint64(6, BigInt(info.size), true);
  view.setFloat64(14, usedAtMs, true);
  bytes.set(map, HEAD_BYTES);
  const pieces = proofs.map(({ generation, hash, index }): KeyValueOperation => {
    const value = new Uint8Array(PROOF_BYTES);
    value.set(hash);
    value.set(Buffer.from(generation, 'hex'), HASH_BYTES);
    return { type: 'put', key: pieceKey1(info.digest, index), value };
  });
  return [{ type: 'put', key: blobKey(info.digest), value: bytes }, ...pieces];
}

function pieceKey1(digest: Digest, index: number): string {
  return piecePrefix(digest) + index.toString(16).padStart(6, '0');
}

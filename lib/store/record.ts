import { Bitfield } from '../core/bitfield.ts';
import { type Digest, isDigest } from '../core/digest.ts';
import { type BlobInfo, blobInfo, MAX_BLOB_BYTES, MAX_PIECE_BYTES } from '../core/geometry.ts';

/*
 * Records, all numbers little-endian:
 *   blob/<digest>            version u8, state u8, piece size u32, size u64, used at f64 (ms since the epoch), then,
 *                            unless complete, one bit for each piece held
 *   piece/<digest>/<index>   the packed proof of a piece held; the index as 6 hex digits, so that they sort
 * A piece is held when the blob's record says so; both change in one batch.
 */

/** What is recorded of one blob. */
export interface BlobRecord {
  readonly info: BlobInfo;
  readonly complete: boolean;
  readonly usedAtMs: number;
  readonly have: Bitfield;
  /** Every piece held is on stable storage: not even a power cut after this record takes one. */
  readonly synced: boolean;
}

const STATES = { unsynced: 0, synced: 1, complete: 2 } as const;

/** Records of any other version are dropped when the store opens: a cache may start afresh. */
const VERSION = 1;
const HEAD_BYTES = 22;

export const BLOB_PREFIX = 'blob/';

export function blobKey(digest: Digest): string {
  return BLOB_PREFIX + digest;
}

/** What the keys of all piece records of a blob start with. */
export function piecePrefix(digest: Digest): string {
  return `piece/${digest}/`;
}

export function pieceKey(digest: Digest, index: number): string {
  return piecePrefix(digest) + index.toString(16).padStart(6, '0');
}

/** The index in a {@link pieceKey}. */
export function pieceIndex(key: string): number {
  return Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 16);
}

export function encodeBlobRecord(record: BlobRecord): Uint8Array {
  const have = record.complete ? new Uint8Array(0) : record.have.toBytes();
  const bytes = new Uint8Array(HEAD_BYTES + have.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, STATES[record.complete ? 'complete' : record.synced ? 'synced' : 'unsynced']);
  view.setUint32(2, record.info.pieceBytes, true);
  view.setBigUint64(6, BigInt(record.info.size), true);
  view.setFloat64(14, record.usedAtMs, true);
  bytes.set(have, HEAD_BYTES);
  return bytes;
}

/** @returns undefined for what {@link encodeBlobRecord} of this version did not write */
export function decodeBlobRecord(key: string, bytes: Uint8Array): BlobRecord | undefined {
  const digest = key.slice(BLOB_PREFIX.length);
  if (!isDigest(digest) || bytes.length < HEAD_BYTES || bytes[0] !== VERSION) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const state = view.getUint8(1);
  const complete = state === STATES.complete;
  const pieceBytes = view.getUint32(2, true);
  const size = Number(view.getBigUint64(6, true));
  if (pieceBytes === 0 || pieceBytes > MAX_PIECE_BYTES || size > MAX_BLOB_BYTES) return undefined;
  const info = blobInfo(digest, size, pieceBytes);
  const held = bytes.subarray(HEAD_BYTES);
  if (held.length !== (complete ? 0 : (info.pieces + 7) >>> 3)) return undefined;
  const have = Bitfield.fromBytes(info.pieces, held);
  if (complete) have.setAll();
  return { info, complete, usedAtMs: view.getFloat64(14, true), have, synced: state !== STATES.unsynced };
}

import { type Digest, isBlobKey } from '../core/digest.ts';
import { type BlobInfo, blobInfo, MAX_BLOB_BYTES, MAX_PIECE_BYTES } from '../core/geometry.ts';

/*
 * Records, all numbers little-endian:
 *   blob/<digest>           version u8, flags u8, piece size u32, size u64, used at f64 (ms since the epoch), bytes held
 *                           u64, run of the machine u64
 *   piece/<digest>/<chunk>  proofs of 16 pieces and what is known of their bytes (held-pieces.ts); the chunk as 4 hex
 *                           digits, so that they sort
 * A start reads the blob records alone. A complete blob holds every piece.
 */

/** What is recorded of one blob besides its pieces. */
export interface BlobRecord {
  readonly info: BlobInfo;
  readonly complete: boolean;
  /** Every piece held is on stable storage: not even a power cut after this record takes one. */
  readonly synced: boolean;
  /** Goes only when somebody asks for it. */
  readonly pinned: boolean;
  /** Milliseconds since the epoch. */
  readonly usedAtMs: number;
  /** Verified bytes on disk when this was recorded. */
  readonly heldBytes: number;
  /** The run of the machine in which its pieces were last written or hashed, as a number. */
  readonly boot: number;
}

const COMPLETE = 1;
const SYNCED = 2;
const PINNED = 4;

/** Records of any other version are dropped when the store opens: a cache may start afresh. */
const VERSION = 2;
const RECORD_BYTES = 38;

/**
 * Pieces whose proofs are recorded together. A new piece rewrites the record of its chunk: with more of them that would
 * cost more than the piece's share of it is worth, with fewer there would be many keys.
 */
export const CHUNK_PIECES = 16;

export const BLOB_PREFIX = 'blob/';

export function blobKey(digest: Digest): string {
  return BLOB_PREFIX + digest;
}

/** What the keys of all piece records of a blob start with. */
export function piecePrefix(digest: Digest): string {
  return `piece/${digest}/`;
}

export function pieceKey(digest: Digest, chunk: number): string {
  return piecePrefix(digest) + chunk.toString(16).padStart(4, '0');
}

/** The chunk in a {@link pieceKey}. */
export function chunkOfKey(key: string): number {
  return Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 16);
}

/** Every key that records of the blob may have. */
export function keysOf({ digest, pieces }: BlobInfo): string[] {
  const chunks = Math.ceil(pieces / CHUNK_PIECES);
  return [blobKey(digest), ...Array.from({ length: chunks }, (_, chunk) => pieceKey(digest, chunk))];
}

export function encodeBlobRecord(record: BlobRecord): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(
    1,
    (record.complete ? COMPLETE : 0) | (record.synced ? SYNCED : 0) | (record.pinned ? PINNED : 0),
  );
  view.setUint32(2, record.info.pieceBytes, true);
  setUint64(view, 6, record.info.size);
  view.setFloat64(14, record.usedAtMs, true);
  setUint64(view, 22, record.heldBytes);
  setUint64(view, 30, record.boot);
  return bytes;
}

/** @returns undefined for what {@link encodeBlobRecord} of this version did not write */
export function decodeBlobRecord(key: string, bytes: Uint8Array): BlobRecord | undefined {
  // A text of its own: a slice would keep the key in memory too.
  const digest = Buffer.from(key, 'latin1').toString('latin1', BLOB_PREFIX.length);
  if (!isBlobKey(digest) || bytes.length !== RECORD_BYTES || bytes[0] !== VERSION) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = view.getUint8(1);
  const pieceBytes = view.getUint32(2, true);
  const size = getUint64(view, 6);
  const heldBytes = getUint64(view, 22);
  if (pieceBytes === 0 || pieceBytes > MAX_PIECE_BYTES || size > MAX_BLOB_BYTES || heldBytes > size) {
    return undefined;
  }
  return {
    info: blobInfo(digest, size, pieceBytes),
    complete: (flags & COMPLETE) !== 0,
    synced: (flags & SYNCED) !== 0,
    pinned: (flags & PINNED) !== 0,
    usedAtMs: view.getFloat64(14, true),
    heldBytes,
    boot: getUint64(view, 30),
  };
}

/** Numbers up to 2^53, without a BigInt for each. */
function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function getUint64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

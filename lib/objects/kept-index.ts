import { z } from 'zod';
import type { Digest } from '../core/digest.ts';
import { type BlobInfo, blobInfo } from '../core/geometry.ts';

/** A blob is kept as two objects: its bytes, and the SHA-256 of each of its pieces, by which they are held on the way back. */
const VERSION = 1;
const HASH_BYTES = 32;
const MAX_HEAD_CHARS = 256;
const head = z.object({ version: z.literal(VERSION), size: z.int().min(0), pieceBytes: z.int().min(1) });

/** What is known of a blob that is kept. */
export interface KeptIndex {
  readonly info: BlobInfo;
  /** SHA-256 of a piece. */
  readonly hash: (index: number) => Uint8Array;
}

export const bytesKey = (digest: Digest): string => `blobs/${folderOf(digest)}`;
export const indexKey = (digest: Digest): string => `pieces/${folderOf(digest)}`;

function folderOf(digest: Digest): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  return `${algorithm}/${hex.slice(0, 2)}/${hex}`;
}

/** A line of JSON, then the hashes. */
export function encodeIndex({ hash, info: { pieceBytes, pieces, size } }: KeptIndex): Uint8Array {
  const hashes = Array.from({ length: pieces }, (_, index) => hash(index));
  return Buffer.concat([
    Buffer.from(`${JSON.stringify({ version: VERSION, size, pieceBytes })}\n`),
    ...hashes,
  ]);
}

/** @returns undefined for what this version did not write */
export function decodeIndex(digest: Digest, bytes: Uint8Array): KeptIndex | undefined {
  const end = bytes.subarray(0, MAX_HEAD_CHARS).indexOf(0x0a);
  if (end < 0) return undefined;
  let told: z.output<typeof head>;
  let info: BlobInfo;
  try {
    told = head.parse(JSON.parse(Buffer.from(bytes.subarray(0, end)).toString()));
    info = blobInfo(digest, told.size, told.pieceBytes);
  } catch {
    return undefined;
  }
  const hashes = bytes.subarray(end + 1);
  if (hashes.length !== info.pieces * HASH_BYTES) return undefined;
  return { info, hash: (index) => hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES) };
}

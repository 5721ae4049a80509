import { createHash } from 'node:crypto';
import type { Digest } from '../../lib/core/digest.ts';
import { randomBytesOf } from '../fixtures/random-bytes.ts';

const BLOCK_BYTES = 1024 * 1024;

/** A blob of any size that needs no disk: one block of random bytes over and over. */
export interface RepeatingBlob {
  readonly size: number;
  readonly digest: Digest;
  /** The bytes from `start` on, at most to the end of their block; the memory is shared. */
  chunk(start: number, end: number): Uint8Array;
}

export function createRepeatingBlob(size: number): RepeatingBlob {
  const block = Buffer.concat([...randomBytesOf('repeating', BLOCK_BYTES)]);
  const hash = createHash('sha256');
  const chunk = (start: number, end: number): Uint8Array => {
    const at = start % BLOCK_BYTES;
    return block.subarray(at, Math.min(BLOCK_BYTES, at + end - start));
  };
  for (let at = 0; at < size; at += BLOCK_BYTES) hash.update(chunk(at, size));
  return { size, digest: `sha256:${hash.digest('hex')}` as Digest, chunk };
}

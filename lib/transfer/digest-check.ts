import { createHash, type Hash } from 'node:crypto';
import { type Digest, digestAlgorithm } from '../core/digest.ts';
import { pieceLength, pieceOffset } from '../core/geometry.ts';
import type { StoredBlob } from '../store/store.ts';
import type { BufferPool } from './buffer-pool.ts';

/** Checking goes on until the blob is closed; a read that fails ends it. */
const NEVER = new AbortController().signal;

/**
 * The digest of a whole blob, computed along its contiguous prefix while pieces arrive in any order, so that the end
 * of a pull waits for at most the last piece. Pieces that come in order are hashed from memory; the others are read
 * back from the store once the gap before them is closed.
 */
export class DigestCheck {
  readonly #stored: StoredBlob;
  readonly #pool: BufferPool;
  readonly #hash: Hash;
  #next = 0;
  #running = false;

  constructor(stored: StoredBlob, pool: BufferPool) {
    this.#stored = stored;
    this.#pool = pool;
    this.#hash = createHash(digestAlgorithm(stored.info.digest));
  }

  /** Offers a piece that is in memory; used only when it is the next one. */
  offer(index: number, bytes: Uint8Array): void {
    if (index !== this.#next || this.#running) return;
    this.#hash.update(bytes);
    this.#next++;
  }

  /** Hashes on as far as held pieces reach. @returns the digest when the last piece was hashed, else undefined */
  async advance(): Promise<Digest | undefined> {
    const { info, have } = this.#stored;
    if (this.#running || this.#next > info.pieces) return undefined;
    this.#running = true;
    try {
      while (have.has(this.#next)) {
        const length = pieceLength(info, this.#next);
        const buffer = await this.#pool.acquire(length, NEVER);
        try {
          await this.#stored.read(pieceOffset(info, this.#next), buffer.bytes);
          this.#hash.update(buffer.bytes);
        } finally {
          buffer.release();
        }
        this.#next++;
      }
    } finally {
      this.#running = false;
    }
    if (this.#next !== info.pieces) return undefined;
    this.#next = info.pieces + 1;
    return `${digestAlgorithm(info.digest)}:${this.#hash.digest('hex')}` as Digest;
  }
}

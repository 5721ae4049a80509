import { createHash, type Hash } from 'node:crypto';
import { type Digest, digestAlgorithm, isFileKey } from '../../core/digest.ts';
import { pieceLength, pieceOffset } from '../../core/geometry.ts';
import type { StoredBlob } from '../../store/store.ts';
import type { BufferPool, PieceBuffer } from '../buffer-pool.ts';

/** Checking goes on until the blob is closed; a read that fails ends it. */
const NEVER = new AbortController().signal;

/**
 * Of one blob, kept in memory until what comes before it has come: eight of the largest pieces, twice what a node fetches
 * at once.
 */
const MAX_AHEAD_BYTES = 32 * 1024 * 1024;

/**
 * The digest of a whole blob, computed along its contiguous prefix while pieces arrive in any order, so that the end
 * of a pull waits for at most the last piece. Pieces that come in order, or a little ahead of it, are hashed from
 * memory; the others are read back from the store once the gap before them is closed. A file without a digest is whole when
 * all its pieces are there.
 */
export class DigestCheck {
  readonly #stored: StoredBlob;
  readonly #pool: BufferPool;
  readonly #aheadBytes: number;
  /** Absent for a file without a digest. */
  readonly #hash: Hash | undefined;
  readonly #ahead = new Map<number, PieceBuffer>();
  #next = 0;
  #running = false;
  #stopped = false;

  constructor(stored: StoredBlob, pool: BufferPool, aheadBytes = MAX_AHEAD_BYTES) {
    this.#stored = stored;
    this.#pool = pool;
    this.#aheadBytes = aheadBytes;
    const { digest } = stored.info;
    this.#hash = isFileKey(digest) ? undefined : createHash(digestAlgorithm(digest));
  }

  /** Offers a stored piece that is still in memory; one that is not the next may be kept for its turn. */
  offer(index: number, piece: PieceBuffer): void {
    if (index < this.#next || this.#stopped || this.#hash === undefined) return;
    if (index === this.#next && !this.#running) this.#take(piece.bytes);
    else if (this.#hasRoom && !this.#ahead.has(index)) {
      const kept = piece.share();
      if (kept !== undefined) this.#ahead.set(index, kept);
    }
  }

  get #hasRoom(): boolean {
    return (this.#ahead.size + 1) * this.#stored.info.pieceBytes <= this.#aheadBytes;
  }

  /** Pieces from the first on that have been hashed. */
  get hashed(): number {
    return Math.min(this.#next, this.#stored.info.pieces);
  }

  /** The hash of the first `bytes` bytes, when it stands just there and the blob goes on. */
  hashOf(bytes: number): Hash | undefined {
    const { info } = this.#stored;
    const here = this.#next < info.pieces && pieceOffset(info, this.#next) === bytes;
    return here ? this.#hash?.copy() : undefined;
  }

  /** Nobody waits for the digest any more: gives back what is kept. */
  stop(): void {
    this.#stopped = true;
    for (const piece of this.#ahead.values()) piece.release();
    this.#ahead.clear();
  }

  /** Hashes on as far as held pieces reach. @returns the digest when the last piece was hashed, else undefined */
  async advance(): Promise<Digest | undefined> {
    const { info, have } = this.#stored;
    if (this.#running || this.#next > info.pieces) return undefined;
    this.#running = true;
    try {
      while (!this.#stopped && have.has(this.#next)) {
        const kept = this.#ahead.get(this.#next);
        if (this.#hash === undefined) this.#next++;
        else if (kept === undefined) await this.#readBack();
        else this.#take(kept.bytes);
      }
    } finally {
      this.#running = false;
    }
    if (this.#stopped || this.#next !== info.pieces) return undefined;
    this.#next = info.pieces + 1;
    if (this.#hash === undefined) return info.digest;
    return `${digestAlgorithm(info.digest)}:${this.#hash.digest('hex')}` as Digest;
  }

  async #readBack(): Promise<void> {
    const { info } = this.#stored;
    const buffer = await this.#pool.acquire(pieceLength(info, this.#next), NEVER);
    try {
      await this.#stored.read(pieceOffset(info, this.#next), buffer.bytes);
      this.#take(buffer.bytes);
    } finally {
      buffer.release();
    }
  }

  /** Hashes the next piece. It may have been offered while it was read back. */
  #take(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
    this.#ahead.get(this.#next)?.release();
    this.#ahead.delete(this.#next++);
  }
}

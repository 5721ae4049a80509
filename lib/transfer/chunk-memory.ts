import type { ByteRange } from '../core/range.ts';
import type { BufferPool, PieceBuffer } from './buffer-pool.ts';

/** One read from the store and one write to the client: large, because the cost is per chunk (docs/DATA-PLANE.md). */
const CHUNK_BYTES = 8 * 1024 * 1024;
/** A client that has taken so much does read: sockets hold less (Linux, tcp_wmem: 4 MiB) of what nobody reads. */
const READING_BYTES = 5 * 1024 * 1024;

/**
 * Memory for the chunks of one reader, one at a time. The client may be slow: what it waits with is lent, not acquired.
 * When a crowd that stands still sits on what is lent, whoever reads gets memory that is kept for that.
 */
export class ChunkMemory {
  readonly #pool: BufferPool;
  readonly #range: ByteRange;
  #lent: PieceBuffer;
  /** Where more memory is asked for, if there was little. */
  #moreAt: number;

  constructor(pool: BufferPool, range: ByteRange) {
    this.#pool = pool;
    this.#range = range;
    this.#lent = pool.lend(Math.min(CHUNK_BYTES, range.end - range.start));
    this.#moreAt = range.start + READING_BYTES;
  }

  /** For the chunk that begins at this byte; the one before is no longer in use. */
  at(byte: number): Uint8Array {
    const wanted = Math.min(CHUNK_BYTES, this.#range.end - byte);
    if (byte >= this.#moreAt && this.#lent.bytes.length < wanted) {
      this.#lent.release();
      this.#lent = this.#pool.lend(wanted, { reads: true });
      // Somebody may have given theirs back by then.
      this.#moreAt = byte + READING_BYTES;
    }
    return this.#lent.bytes;
  }

  release(): void {
    this.#lent.release();
  }
}

import type { ByteRange } from '../core/range.ts';
import type { BufferPool, PieceBuffer } from './buffer-pool.ts';

/** One read from the store and one write to the client: large, because the cost is per chunk (docs/DATA-PLANE.md). */
const CHUNK_BYTES = 8 * 1024 * 1024;
/**
 * Until a client has taken so much, its chunks are small: more than sockets hold of what nobody reads. A crowd of clients
 * that never read would else sit on all memory that can be lent, and everybody's chunks be small.
 */
const PROBATION_BYTES = 1024 * 1024;
const PROBATION_CHUNK_BYTES = 64 * 1024;

/** Memory for the chunks of one reader, one at a time. The client may be slow: what it waits with is lent, not acquired. */
export class ChunkMemory {
  readonly #pool: BufferPool;
  readonly #range: ByteRange;
  #lent: PieceBuffer;
  /** Where more memory is asked for. */
  #moreAt: number;

  constructor(pool: BufferPool, range: ByteRange) {
    this.#pool = pool;
    this.#range = range;
    this.#lent = pool.lend(Math.min(PROBATION_CHUNK_BYTES, range.end - range.start));
    this.#moreAt = range.start + PROBATION_BYTES;
  }

  /** For the chunk that begins at this byte; the one before is no longer in use. */
  at(byte: number): Uint8Array {
    const wanted = Math.min(CHUNK_BYTES, this.#range.end - byte);
    if (byte >= this.#moreAt && this.#lent.bytes.length < wanted) {
      this.#lent.release();
      this.#lent = this.#pool.lend(wanted);
      // There was not enough: somebody may have given theirs back by then.
      this.#moreAt = byte + PROBATION_BYTES;
    }
    return this.#lent.bytes;
  }

  release(): void {
    this.#lent.release();
  }
}

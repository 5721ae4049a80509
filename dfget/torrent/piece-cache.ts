import type { ChunkCallback, ChunkOptions, ChunkStore } from 'webtorrent';

/** Reads bytes of a shared file. */
export type ReadShared = (infoHash: string, offset: number, length: number) => Promise<Uint8Array>;

/** Pieces of all torrents together that are kept in memory, bytes: clients ask for the blocks of one after another. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Reads at a time: what they bring is memory too. */
const MAX_READS = 4;

interface Entry {
  readonly bytes: Promise<Uint8Array>;
  readonly length: number;
}

/** The pieces that are being served, read once for all who ask for their blocks. */
export class PieceCache {
  readonly #read: ReadShared;
  readonly #maxBytes: number;
  /** Longest unused first. */
  readonly #entries = new Map<string, Entry>();
  readonly #waiting: (() => void)[] = [];
  #reads = 0;
  #bytes = 0;

  constructor(read: ReadShared, maxBytes = MAX_BYTES) {
    this.#read = read;
    this.#maxBytes = maxBytes;
  }

  /** Bytes kept, those on their way included. */
  get bytes(): number {
    return this.#bytes;
  }

  piece(infoHash: string, offset: number, length: number): Promise<Uint8Array> {
    const key = `${infoHash} ${offset}`;
    const known = this.#entries.get(key);
    this.#entries.delete(key);
    const entry = known ?? { bytes: this.#inTurn(infoHash, offset, length), length };
    this.#entries.set(key, entry);
    if (known !== undefined) return known.bytes;
    this.#bytes += length;
    entry.bytes.catch(() => this.#forget(key, entry));
    for (const [oldest, each] of this.#entries) {
      if (this.#bytes <= this.#maxBytes || each === entry) break;
      this.#forget(oldest, each);
    }
    return entry.bytes;
  }

  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.length;
  }

  async #inTurn(infoHash: string, offset: number, length: number): Promise<Uint8Array> {
    if (this.#reads >= MAX_READS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#reads++;
    try {
      return await this.#read(infoHash, offset, length);
    } finally {
      this.#reads--;
      this.#waiting.shift()?.();
    }
  }
}

/** A shared file as webtorrent reads one; nothing is ever written to it. */
export function sharedChunkStore(
  cache: PieceCache,
  file: { readonly infoHash: string; readonly size: number; readonly pieceBytes: number },
): ChunkStore {
  const { infoHash, pieceBytes, size } = file;
  return {
    get(index: number, options: ChunkOptions | undefined, callback: ChunkCallback) {
      const start = index * pieceBytes;
      const whole = Math.min(pieceBytes, size - start);
      const { length, offset = 0 } = options ?? {};
      const end = offset + (length ?? whole - offset);
      if (offset < 0 || end > whole) return callback(new Error('no such bytes'));
      cache.piece(infoHash, start, whole).then(
        (bytes) => callback(null, bytes.subarray(offset, end)),
        (error: unknown) => callback(error as Error),
      );
    },
    put: (_index, _bytes, callback) => callback(new Error('only read')),
    close: (callback) => callback(null),
    destroy: (callback) => callback(null),
  };
}

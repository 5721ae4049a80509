import { Bitfield } from '../../core/bitfield.ts';
import { DamselflyError } from '../../core/errors.ts';
import { type BlobInfo, pieceAt, pieceLength, pieceOffset } from '../../core/geometry.ts';
import type { PieceProof } from '../../core/proof.ts';
import type { StoredBlob } from '../../store/store.ts';
import type { BufferPool, PieceBuffer } from '../buffer-pool.ts';

/** Pieces that may be on their way ahead of the client: twice what a node fetches at once. */
const PIECES_AHEAD = 8;
/** Pieces that the client has, kept a little longer for neighbours that have just heard of them. */
const PIECES_BEHIND = 8;

/**
 * A blob that the disk does not take, while it is passed on to one client: the pieces that come next are in memory, those
 * that the client has are gone again. Only pieces for which there is memory are let in.
 */
export class PassingBlob implements StoredBlob {
  readonly info: BlobInfo;
  readonly have: Bitfield;
  readonly complete = false;
  readonly #pool: BufferPool;
  readonly #onDisk: StoredBlob | undefined;
  readonly #proofs = new Map<number, PieceProof>();
  /** Memory of pieces that are here or let in, in order. */
  readonly #memory = new Map<number, PieceBuffer>();
  /** Pieces before this one were let in, or are on disk. */
  #letIn = 0;
  #takenBytes = 0;

  /** @param onDisk what the disk took of the blob before it was full; closed with this */
  constructor(info: BlobInfo, pool: BufferPool, onDisk?: StoredBlob) {
    this.info = info;
    this.#pool = pool;
    this.#onDisk = onDisk;
    this.have = new Bitfield(info.pieces, onDisk?.have.words.slice());
  }

  proof(index: number): PieceProof | undefined {
    return this.#proofs.get(index) ?? this.#onDisk?.proof(index);
  }

  /**
   * Lets in the pieces that the client needs next, as far as there is memory.
   * @param hashed so many pieces from the first on have gone into the digest
   * @param takenBytes the client has all bytes before this one
   * @returns the pieces that may be fetched from now on
   */
  moveOn(hashed: number, takenBytes = this.#takenBytes): readonly number[] {
    const { info } = this;
    this.#takenBytes = takenBytes;
    const reader = takenBytes < info.size ? pieceAt(info, takenBytes) : info.pieces;
    for (const [index, memory] of this.#memory) {
      if (index >= Math.min(reader - PIECES_BEHIND, hashed)) break;
      this.#memory.delete(index);
      this.have.clear(index);
      memory.release();
    }
    const found: number[] = [];
    for (; this.#letIn < Math.min(info.pieces, reader + PIECES_AHEAD); this.#letIn++) {
      if (this.have.has(this.#letIn)) continue;
      const whole = this.#pool.tryAcquire(pieceLength(info, this.#letIn));
      // It is held for as long as the client takes: what others fetch must find room all the same.
      const memory = whole?.share();
      whole?.release();
      if (memory === undefined) break;
      this.#memory.set(this.#letIn, memory);
      found.push(this.#letIn);
    }
    return found;
  }

  /** Nothing is recorded. */
  expect(): void {}

  async write(proof: PieceProof, bytes: Uint8Array): Promise<void> {
    const { index } = proof;
    if (this.have.has(index)) return;
    const memory = this.#memory.get(index);
    if (memory === undefined) throw this.#notKept(index);
    memory.bytes.set(bytes);
    this.#proofs.set(index, proof);
    this.have.set(index);
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const { info } = this;
    for (let filled = 0; filled < into.length; ) {
      const at = offset + filled;
      const index = pieceAt(info, at);
      const start = at - pieceOffset(info, index);
      const part = into.subarray(filled, filled + pieceLength(info, index) - start);
      const memory = this.#memory.get(index);
      if (!this.have.has(index)) throw this.#notKept(index);
      if (memory !== undefined) part.set(memory.bytes.subarray(start, start + part.length));
      else if (this.#onDisk !== undefined) await this.#onDisk.read(at, part);
      filled += part.length;
    }
  }

  /** Nothing is kept: the client had it. */
  async commit(): Promise<void> {}

  async reset(): Promise<void> {
    this.#forget();
    await this.#onDisk?.reset();
  }

  async close(): Promise<void> {
    this.#forget();
    await this.#onDisk?.close();
  }

  #forget(): void {
    for (const memory of this.#memory.values()) memory.release();
    this.#memory.clear();
    this.#proofs.clear();
    for (let index = 0; index < this.info.pieces; index++) this.have.clear(index);
  }

  #notKept(index: number): DamselflyError {
    const { digest } = this.info;
    return new DamselflyError('STORE_FULL', 'the piece is not kept: the disk does not take the blob', {
      digest,
      index,
    });
  }
}

import { Bitfield } from '../core/bitfield.ts';
import { type BlobInfo, pieceLength } from '../core/geometry.ts';
import type { PieceProof } from '../core/proof.ts';
import { ProofTable } from './proof-table.ts';
import { CHUNK_PIECES } from './record.ts';

const MAP_BYTES = CHUNK_PIECES / 8;

/**
 * The pieces of one blob: which are held, the proof of each, and which records are to be written. A piece is marked,
 * with its proof, before its bytes are written, and held afterwards; one that a start finds marked and not held may
 * be whole, or not there at all, which its proof tells.
 *
 * A chunk's record: one bit for each piece marked, one for each held, the packed proofs of those marked, in order.
 */
export class HeldPieces {
  readonly info: BlobInfo;
  readonly have: Bitfield;
  readonly marked: Bitfield;
  readonly #proofs: ProofTable;
  /** Chunks that changed since they were last recorded; those with new marks, which are recorded first. */
  readonly #dirty = new Set<number>();
  readonly #urgent = new Set<number>();
  /** Pieces on their way here, not marked: their proofs are known. */
  readonly #expected = new Set<number>();

  constructor(info: BlobInfo) {
    this.info = info;
    this.have = new Bitfield(info.pieces);
    this.marked = new Bitfield(info.pieces);
    this.#proofs = new ProofTable(info.pieces);
  }

  /** Verified bytes on disk. */
  get bytes(): number {
    const { pieces, pieceBytes } = this.info;
    const shortBy = this.have.has(pieces - 1) ? pieceBytes - pieceLength(this.info, pieces - 1) : 0;
    return this.have.count * pieceBytes - shortBy;
  }

  /** Of a marked piece. */
  proof(index: number): PieceProof {
    return this.#proofs.get(index);
  }

  /** A piece with this proof will be marked soon: then with the next one that is. */
  expect(proof: PieceProof): void {
    const { index } = proof;
    if (this.marked.has(index)) return;
    this.#proofs.set(proof);
    this.#expected.add(index);
  }

  /** With it those expected are marked, so that few of several at once need a record of their own. */
  mark(proof: PieceProof): void {
    const { index } = proof;
    if (this.marked.has(index) && this.#proofs.holds(proof)) return;
    this.#proofs.set(proof);
    for (const each of this.#expected.add(index)) {
      this.marked.set(each);
      this.#touch(each);
      this.#urgent.add(chunkOf(each));
    }
    this.#expected.clear();
  }

  hold(index: number): void {
    this.have.set(index);
    this.#touch(index);
  }

  /** Neither held nor marked any more. */
  lose(index: number): void {
    this.have.clear(index);
    this.marked.clear(index);
    this.#expected.delete(index);
    this.#touch(index);
  }

  /** Nothing is held, and nothing needs to be recorded: its records go as a whole. */
  clear(): void {
    clearAll(this.have);
    clearAll(this.marked);
    this.#dirty.clear();
    this.#urgent.clear();
    this.#expected.clear();
  }

  get dirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Whether there are marks that no {@link takeDirty} has taken. */
  get newMarks(): boolean {
    return this.#urgent.size > 0;
  }

  /**
   * The chunks to be recorded; they count as recorded from now on.
   * @param urgent only those with marks that are not recorded
   */
  takeDirty(urgent = false): number[] {
    const chunks = [...(urgent ? this.#urgent : this.#dirty)];
    for (const chunk of chunks) this.#dirty.delete(chunk);
    this.#urgent.clear();
    return chunks;
  }

  /** Chunks that could not be recorded after all. They may have new marks. */
  giveBack(chunks: readonly number[]): void {
    for (const chunk of chunks) {
      this.#dirty.add(chunk);
      this.#urgent.add(chunk);
    }
  }

  encode(chunk: number): Uint8Array {
    const first = chunk * CHUNK_PIECES;
    const marked: number[] = [];
    for (let index = first; index < first + CHUNK_PIECES; index++) {
      if (this.marked.has(index)) marked.push(index);
    }
    const proofBytes = marked.reduce((sum, index) => sum + this.#proofs.packedBytes(index), 0);
    const bytes = new Uint8Array(2 * MAP_BYTES + proofBytes);
    let at = 2 * MAP_BYTES;
    for (const index of marked) {
      setBit(bytes, 0, index - first);
      if (this.have.has(index)) setBit(bytes, MAP_BYTES, index - first);
      at = this.#proofs.pack(index, bytes, at);
    }
    return bytes;
  }

  /** Takes in what {@link encode} wrote; of a record that is cut off, what comes before the cut. */
  load(chunk: number, bytes: Uint8Array): void {
    const first = chunk * CHUNK_PIECES;
    let at: number | undefined = 2 * MAP_BYTES;
    for (let bit = 0; bit < CHUNK_PIECES && first + bit < this.info.pieces; bit++) {
      if (!hasBit(bytes, 0, bit)) continue;
      at = this.#proofs.unpack(first + bit, bytes, at);
      if (at === undefined) return;
      this.marked.set(first + bit);
      if (hasBit(bytes, MAP_BYTES, bit)) this.have.set(first + bit);
    }
  }

  #touch(index: number): void {
    this.#dirty.add(chunkOf(index));
  }
}

function chunkOf(index: number): number {
  return Math.floor(index / CHUNK_PIECES);
}

export function clearAll(field: Bitfield): void {
  for (let index = 0; index < field.length; index++) field.clear(index);
}

function setBit(bytes: Uint8Array, from: number, bit: number): void {
  const at = from + (bit >>> 3);
  bytes[at] = (bytes[at] ?? 0) | (1 << (bit & 7));
}

function hasBit(bytes: Uint8Array, from: number, bit: number): boolean {
  return ((bytes[from + (bit >>> 3)] ?? 0) & (1 << (bit & 7))) !== 0;
}

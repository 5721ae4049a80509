import type { Bitfield } from '../core/bitfield.ts';
import { bitCount, lowestBit, lowestBits } from './bits.ts';
import type { Memory } from './memory.ts';
import { PieceTable } from './piece-table.ts';

/** More holders than any piece has. */
const MOST_HOLDERS = 1 << 20;

/** One blob as a node sees it: its pieces here and at neighbours, and what decides which of them is wanted next. */
export class SharedBlob extends PieceTable {
  /** Live or storing requests. */
  inFlight = 0;
  /** The round of requests in which nothing more could be asked for. */
  exhausted = 0;
  priority: number;
  /** When bytes last came from any peer, or a request had a reason not to be made (all slots busy). */
  movedAt: number;
  /** The same, for peers of our own zone and supernodes. */
  localAt: number;
  /** When bytes last came from any peer, milliseconds. */
  progressedAt: number;
  /** Mean time of recent requests that brought their piece, milliseconds; 0 before the first. */
  paceMs = 0;
  /** Shortest time that a request took since this was last set to Infinity, milliseconds. */
  fastestMs = Number.POSITIVE_INFINITY;
  /** First missing piece at or after the cursor. */
  #head: number;
  #cursor = 0;
  /** Pieces that the caller reads from elsewhere; a subset of busy. Few blobs ever have any. */
  #reserved: Set<number> | undefined;

  constructor(pieces: number, have: Bitfield | undefined, priority: number, now: number, memory: Memory) {
    super(pieces, have, memory);
    this.priority = priority;
    this.movedAt = now;
    this.localAt = now;
    this.progressedAt = now;
    this.#head = this.firstMissing(0);
  }

  /** Keeps a wanted piece from being asked for, because the caller reads it from elsewhere. */
  reserve(piece: number): void {
    this.#reserved ??= new Set();
    this.#reserved.add(piece);
    this.setBusy(piece);
  }

  unreserve(piece: number): void {
    if (this.#reserved?.delete(piece) === true) this.clearBusy(piece);
  }

  /** @returns whether the piece was missing */
  gain(piece: number): boolean {
    if (!this.hold(piece)) return false;
    this.#reserved?.delete(piece);
    if (piece === this.#head) this.#head = this.firstMissing(piece);
    return true;
  }

  /** Whether any piece is missing that nobody is asked for. */
  wantsAny(): boolean {
    return this.count + this.inFlight + (this.#reserved?.size ?? 0) < this.pieces;
  }

  setCursor(piece: number): void {
    this.#cursor = Math.min(Math.max(piece, 0), this.pieces);
    this.#head = this.firstMissing(this.#cursor);
  }

  /** We hold nothing any more. */
  reset(): void {
    this.holdNothing();
    this.#reserved = undefined;
    this.#head = this.#cursor;
  }

  /** First wanted piece from the cursor on, then from the beginning, that one of the rows holds; or -1. */
  firstIn(rows: Int32Array, count: number): number {
    if (!this.anyUseful(rows, count)) return -1;
    const found = this.#firstBetween(this.#head, this.pieces, rows, count);
    return found >= 0 || this.#cursor === 0 ? found : this.#firstBetween(0, this.#cursor, rows, count);
  }

  /** A wanted piece of those rows with few holders among `sample` of them, looked at from `start` on; or -1. */
  rareIn(rows: Int32Array, count: number, sample: number, start: number): number {
    if (!this.anyUseful(rows, count)) return -1;
    let best = -1;
    let fewest = MOST_HOLDERS;
    let left = sample;
    let word = start >>> 5;
    // The first word is looked at twice, so that pieces before `start` in it have their turn too.
    let mask = -1 << (start & 31);
    for (let step = 0; step <= this.words && left > 0; step++) {
      let candidates = this.candidates(word, rows, count) & mask;
      if (candidates !== 0) {
        const found = bitCount(candidates);
        if (found > left) candidates = lowestBits(candidates, left);
        left -= found;
        const rarest = this.rarest(word, candidates);
        if (rarest >> 5 < fewest) {
          fewest = rarest >> 5;
          best = (word << 5) | (rarest & 31);
        }
      }
      mask = -1;
      word = word + 1 === this.words ? 0 : word + 1;
    }
    return best;
  }

  #firstBetween(from: number, to: number, rows: Int32Array, count: number): number {
    if (from >= to) return -1;
    let candidates = this.candidates(from >>> 5, rows, count) & (-1 << (from & 31));
    for (let word = from >>> 5; ; ) {
      if (candidates !== 0) {
        const piece = (word << 5) | lowestBit(candidates);
        return piece < to ? piece : -1;
      }
      word++;
      if (word << 5 >= to) return -1;
      candidates = this.candidates(word, rows, count);
    }
  }
}

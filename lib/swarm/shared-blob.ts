import { Bitfield } from '../core/bitfield.ts';
import { grown } from './slots.ts';

const INITIAL_ROWS = 8;

/**
 * One blob as a node sees it: what we hold, what is under way, and what each neighbour that shares it holds. A
 * neighbour's pieces are one row of a flat bit matrix; `rowOf` finds the row of a peer.
 */
export class SharedBlob {
  readonly pieces: number;
  /** 32-bit words of one row. */
  readonly words: number;
  have: Bitfield;
  /** Pieces asked of a peer (live) or reserved: not to be asked again. */
  readonly busy: Uint32Array;
  /** Pieces that the caller reads from elsewhere; a subset of busy. */
  readonly reserved = new Set<number>();
  /** Neighbours known to hold each piece, supernodes not counted. */
  readonly holders: Uint16Array;
  priority: number;
  /** Live requests. */
  inFlight = 0;
  /** Supernodes that share it. */
  supernodes = 0;
  /** The round of requests in which nothing more could be asked for. */
  exhausted = 0;
  /** When bytes last came from any peer, or a request had a reason not to be made (all slots busy). */
  movedAt: number;
  /** The same, for peers of our own zone and supernodes. */
  localAt: number;
  /** Mean time of recent requests that brought their piece, milliseconds; 0 before the first. */
  paceMs = 0;
  /** When bytes last came from any peer, milliseconds. */
  progressedAt: number;

  /** Row -> peer. */
  sharers = new Int32Array(INITIAL_ROWS);
  rows = 0;
  bits: Uint32Array;
  #rowOf = new Int32Array(INITIAL_ROWS).fill(-1);
  #cursor = 0;
  /** First missing piece at or after the cursor. */
  #head = 0;

  constructor(pieces: number, have: Bitfield | undefined, priority: number, now: number) {
    this.pieces = pieces;
    this.words = (pieces + 31) >>> 5;
    this.have = new Bitfield(pieces, have?.words.slice());
    this.busy = new Uint32Array(this.words);
    this.holders = new Uint16Array(pieces);
    this.bits = new Uint32Array(INITIAL_ROWS * this.words);
    this.priority = priority;
    this.movedAt = now;
    this.localAt = now;
    this.progressedAt = now;
    this.#head = this.have.firstClear(0);
  }

  /** The peer's row, or -1 when it does not share the blob. */
  rowOf(peer: number): number {
    return this.#rowOf[peer] ?? -1;
  }

  /** @param counts whether its pieces count in `holders`; those of supernodes do not */
  addSharer(peer: number, counts = true): void {
    if (this.rowOf(peer) >= 0) return;
    if (!counts) this.supernodes++;
    if (peer >= this.#rowOf.length) {
      this.#rowOf = grown(this.#rowOf, new Int32Array(Math.max(peer + 1, this.#rowOf.length * 2)).fill(-1));
    }
    if (this.rows === this.sharers.length) {
      this.sharers = grown(this.sharers, new Int32Array(this.rows * 2));
      this.bits = grown(this.bits, new Uint32Array(this.rows * 2 * this.words));
    }
    const row = this.rows++;
    this.sharers[row] = peer;
    this.#rowOf[peer] = row;
    this.bits.fill(0, row * this.words, (row + 1) * this.words);
  }

  /** @param counts whether its pieces count in `holders` */
  removeSharer(peer: number, counts: boolean): void {
    const row = this.rowOf(peer);
    if (row < 0) return;
    if (!counts) this.supernodes--;
    else {
      for (let piece = 0; piece < this.pieces; piece++) if (this.peerHas(row, piece)) this.holders[piece]!--;
    }
    const last = --this.rows;
    const moved = this.sharers[last]!;
    this.bits.copyWithin(row * this.words, last * this.words, (last + 1) * this.words);
    this.sharers[row] = moved;
    this.#rowOf[moved] = row;
    this.#rowOf[peer] = -1;
  }

  peerHas(row: number, piece: number): boolean {
    return (this.bits[row * this.words + (piece >>> 5)]! & (1 << (piece & 31))) !== 0;
  }

  /** @param counts whether its pieces count in `holders` */
  setPeerHas(row: number, piece: number, counts: boolean): void {
    if (this.peerHas(row, piece)) return;
    const at = row * this.words + (piece >>> 5);
    this.bits[at] = this.bits[at]! | (1 << (piece & 31));
    if (counts) this.holders[piece]!++;
  }

  clearPeerHas(row: number, piece: number, counts: boolean): void {
    if (!this.peerHas(row, piece)) return;
    const at = row * this.words + (piece >>> 5);
    this.bits[at] = this.bits[at]! & ~(1 << (piece & 31));
    if (counts) this.holders[piece]!--;
  }

  isBusy(piece: number): boolean {
    return (this.busy[piece >>> 5]! & (1 << (piece & 31))) !== 0;
  }

  setBusy(piece: number): void {
    this.busy[piece >>> 5] = this.busy[piece >>> 5]! | (1 << (piece & 31));
  }

  clearBusy(piece: number): void {
    this.busy[piece >>> 5] = this.busy[piece >>> 5]! & ~(1 << (piece & 31));
  }

  /** Missing, and nobody is asked for it. */
  wants(piece: number): boolean {
    return piece >= 0 && piece < this.pieces && !this.have.has(piece) && !this.isBusy(piece);
  }

  /** @returns whether the piece was missing */
  gain(piece: number): boolean {
    if (!this.have.set(piece)) return false;
    this.clearBusy(piece);
    this.reserved.delete(piece);
    if (piece === this.#head) this.#head = this.have.firstClear(piece);
    return true;
  }

  /** Whether any piece is missing that nobody is asked for. */
  wantsAny(): boolean {
    return this.have.count + this.inFlight + this.reserved.size < this.pieces;
  }

  /** Whether the peer in that row holds anything that we want. */
  useful(row: number): boolean {
    const base = row * this.words;
    const have = this.have.words;
    for (let word = 0; word < this.words; word++) {
      if ((this.bits[base + word]! & ~have[word]! & ~this.busy[word]!) !== 0) return true;
    }
    return false;
  }

  /** Whether the peer in that row lacks anything that we hold. */
  lacks(row: number): boolean {
    const base = row * this.words;
    const have = this.have.words;
    for (let word = 0; word < this.words; word++) {
      if ((have[word]! & ~this.bits[base + word]!) !== 0) return true;
    }
    return false;
  }

  setCursor(piece: number): void {
    this.#cursor = Math.min(Math.max(piece, 0), this.pieces);
    this.#head = this.have.firstClear(this.#cursor);
  }

  /** We hold nothing any more. */
  reset(): void {
    this.have = new Bitfield(this.pieces);
    this.busy.fill(0);
    this.reserved.clear();
    this.#head = this.#cursor;
  }

  /** First wanted piece from the cursor on, then from the beginning, that one of the rows holds; or -1. */
  firstIn(rows: Int32Array, count: number): number {
    const found = this.#firstBetween(this.#head, this.pieces, rows, count);
    return found >= 0 || this.#cursor === 0 ? found : this.#firstBetween(0, this.#cursor, rows, count);
  }

  /** A wanted piece of those rows with few holders among `sample` of them, looked at from `start` on; or -1. */
  rareIn(rows: Int32Array, count: number, sample: number, start: number): number {
    let best = -1;
    let fewest = 0x10000;
    let left = sample;
    let word = start >>> 5;
    // The first word is looked at twice, so that pieces before `start` in it have their turn too.
    let candidates = this.#candidates(word, rows, count) & (-1 << (start & 31));
    for (let step = 0; step <= this.words; step++) {
      while (candidates !== 0) {
        const bit = 31 - Math.clz32(candidates & -candidates);
        candidates &= candidates - 1;
        const piece = (word << 5) | bit;
        if (this.holders[piece]! < fewest) {
          fewest = this.holders[piece]!;
          best = piece;
        }
        if (--left === 0) return best;
      }
      word = word + 1 === this.words ? 0 : word + 1;
      candidates = this.#candidates(word, rows, count);
    }
    return best;
  }

  #firstBetween(from: number, to: number, rows: Int32Array, count: number): number {
    if (from >= to) return -1;
    let candidates = this.#candidates(from >>> 5, rows, count) & (-1 << (from & 31));
    for (let word = from >>> 5; ; ) {
      if (candidates !== 0) {
        const piece = (word << 5) | (31 - Math.clz32(candidates & -candidates));
        return piece < to ? piece : -1;
      }
      word++;
      if (word << 5 >= to) return -1;
      candidates = this.#candidates(word, rows, count);
    }
  }

  #candidates(word: number, rows: Int32Array, count: number): number {
    const wanted = ~this.have.words[word]! & ~this.busy[word]!;
    if (wanted === 0) return 0;
    let held = 0;
    for (let i = 0; i < count; i++) held |= this.bits[rows[i]! * this.words + word]!;
    return held & wanted;
  }
}

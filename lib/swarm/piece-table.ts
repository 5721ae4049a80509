import type { Bitfield } from '../core/bitfield.ts';
import { bitCount, lowestBit } from './bits.ts';
import type { Memory } from './memory.ts';

/*
 * Everything that changes with a piece lies in one table of 32-bit words, because thousands of blobs do not fit into
 * the caches of one CPU, and every further array would be two more cache misses an event:
 *
 *     records: one for each peer number   [row of the peer, peer of the row, useful, lacks]
 *     groups: one for each 32 pieces      [held, busy, pieces of row 0, pieces of row 1, ...]
 *
 * The first field of record i is about peer i, the others are about row i: mostly the same neighbour.
 */
const RECORD_WORDS = 4;
/** Row of peer i plus one; 0 when it does not share the blob. */
const ROW_OF = 0;
/** Four times the peer of row i, and what of it {@link SUPERNODE} and {@link DISCOUNTED} say. */
const SHARER = 1;
/** How many pieces of row i are missing here and not busy. */
const USEFUL = 2;
/** How many pieces held here are missing in row i. */
const LACKS = 3;

const SUPERNODE = 1;
/** What it holds is of no use to anybody. */
const DISCOUNTED = 2;

const HELD = 0;
const BUSY = 1;
const ROWS = 2;

/** Such that 32 pieces of a node with usual neighbours fill one cache line. */
const INITIAL_ROWS = 14;
const INITIAL_PEERS = 16;
const MORE_ROWS = 8;
/** Rows for which the holders of 32 pieces can be counted at once. */
const MOST_COUNTED = 31;
const MORE_THAN_ANY = 1 << 20;

/**
 * Which pieces of one blob we hold, which are busy (asked for already), and which each neighbour that shares it holds: a
 * bit matrix with a row for each; `rowOf` finds the row of a peer.
 */
export class PieceTable {
  readonly pieces: number;
  /** 32-bit words of one row. */
  readonly words: number;
  /** Neighbours that share it; their rows are below this. */
  rows = 0;
  /** Supernodes that share it. */
  supernodes = 0;
  /** Rows that are not counted as holders: supernodes, and discounted ones. */
  #uncounted = 0;
  #table: Int32Array;
  /** Where the records begin in the table, and how many there are. */
  #start: number;
  #records = INITIAL_PEERS;
  /** Where the groups begin in the table, and the words of each. */
  #groups: number;
  #groupWords = ROWS + INITIAL_ROWS;
  #count = 0;
  readonly #memory: Memory;

  constructor(pieces: number, have: Bitfield | undefined, memory: Memory) {
    this.pieces = pieces;
    this.words = (pieces + 31) >>> 5;
    this.#memory = memory;
    const { array, at } = memory.words.take(INITIAL_PEERS * RECORD_WORDS + this.words * this.#groupWords);
    this.#table = array;
    this.#start = at;
    this.#groups = at + INITIAL_PEERS * RECORD_WORDS;
    if (have === undefined) return;
    for (let word = 0; word < this.words; word++) this.#table[this.#group(word) + HELD] = have.words[word]!;
    this.#count = have.count;
  }

  /** Pieces that we hold. */
  get count(): number {
    return this.#count;
  }

  get complete(): boolean {
    return this.#count === this.pieces;
  }

  has(piece: number): boolean {
    return (this.#table[this.#group(piece >>> 5) + HELD]! & (1 << (piece & 31))) !== 0;
  }

  /** Missing, and nobody is asked for it. */
  wants(piece: number): boolean {
    if (piece < 0 || piece >= this.pieces) return false;
    const group = this.#group(piece >>> 5);
    return ((this.#table[group + HELD]! | this.#table[group + BUSY]!) & (1 << (piece & 31))) === 0;
  }

  /** Whether the peer in that row holds anything that we want. */
  useful(row: number): boolean {
    return this.#table[this.#record(row) + USEFUL]! > 0;
  }

  /** Whether the peer in that row lacks anything that we hold. */
  lacks(row: number): boolean {
    return this.#table[this.#record(row) + LACKS]! > 0;
  }

  /** How many pieces that we hold the peer in that row lacks. */
  lackedBy(row: number): number {
    return this.#table[this.#record(row) + LACKS]!;
  }

  /** Pieces that the peer in that row holds, but for those that are asked for now. */
  heldBy(row: number): number {
    const record = this.#record(row);
    return this.count - this.#table[record + LACKS]! + this.#table[record + USEFUL]!;
  }

  /** Whether a neighbour, supernodes and discounted ones aside, holds at least so many pieces. */
  anyHolds(pieces: number): boolean {
    for (let row = 0; row < this.rows; row++) {
      if (this.heldBy(row) >= pieces && this.#counts(row)) return true;
    }
    return false;
  }

  /** Bits of the pieces, 32 times `word` and following, that we hold and the peer in that row lacks. */
  lacking(row: number, word: number): number {
    const group = this.#group(word);
    return this.#table[group + HELD]! & ~this.#table[group + ROWS + row]!;
  }

  /** The peer's row, or -1 when it does not share the blob. */
  rowOf(peer: number): number {
    return peer >= 0 && peer < this.#records ? this.#table[this.#record(peer) + ROW_OF]! - 1 : -1;
  }

  /** The peer of a row. */
  sharer(row: number): number {
    return this.#table[this.#record(row) + SHARER]! >> 2;
  }

  /** Neighbours known to hold the piece, supernodes and discounted ones aside. */
  holders(piece: number): number {
    if (piece < 0 || piece >= this.pieces) return 0;
    let count = 0;
    for (let row = 0; row < this.rows; row++) {
      if (this.#counts(row) && this.peerHas(row, piece)) count++;
    }
    return count;
  }

  addSharer(peer: number, supernode = false): void {
    if (this.rowOf(peer) >= 0) return;
    const row = this.rows++;
    this.#makeRoom(peer + 1, this.rows);
    const table = this.#table;
    table[this.#record(peer) + ROW_OF] = row + 1;
    const record = this.#record(row);
    table[record + SHARER] = (peer << 2) | (supernode ? SUPERNODE : 0);
    table[record + USEFUL] = 0;
    table[record + LACKS] = this.#count;
    for (let word = 0; word < this.words; word++) table[this.#group(word) + ROWS + row] = 0;
    if (!supernode) return;
    this.supernodes++;
    this.#uncounted++;
  }

  /** The neighbour in that row counts as no holder any more. */
  discount(row: number): void {
    const at = this.#record(row) + SHARER;
    if (this.#counts(row)) this.#uncounted++;
    this.#table[at] = this.#table[at]! | DISCOUNTED;
  }

  removeSharer(peer: number): void {
    const row = this.rowOf(peer);
    if (row < 0) return;
    const table = this.#table;
    if (!this.#counts(row)) this.#uncounted--;
    if (this.#is(row, SUPERNODE)) this.supernodes--;
    const last = --this.rows;
    for (let word = 0; word < this.words; word++) {
      const group = this.#group(word);
      table[group + ROWS + row] = table[group + ROWS + last]!;
    }
    const record = this.#record(row);
    const moved = this.#record(last);
    table[record + SHARER] = table[moved + SHARER]!;
    table[record + USEFUL] = table[moved + USEFUL]!;
    table[record + LACKS] = table[moved + LACKS]!;
    table[this.#record(this.sharer(row)) + ROW_OF] = row + 1;
    table[this.#record(peer) + ROW_OF] = 0;
  }

  peerHas(row: number, piece: number): boolean {
    return (this.#table[this.#group(piece >>> 5) + ROWS + row]! & (1 << (piece & 31))) !== 0;
  }

  setPeerHas(row: number, piece: number): void {
    const table = this.#table;
    const group = this.#group(piece >>> 5);
    const bit = 1 << (piece & 31);
    const bits = table[group + ROWS + row]!;
    if ((bits & bit) !== 0) return;
    table[group + ROWS + row] = bits | bit;
    if ((table[group + HELD]! & bit) !== 0) table[this.#record(row) + LACKS]!--;
    else if ((table[group + BUSY]! & bit) === 0) table[this.#record(row) + USEFUL]!++;
  }

  clearPeerHas(row: number, piece: number): void {
    const table = this.#table;
    const group = this.#group(piece >>> 5);
    const bit = 1 << (piece & 31);
    const bits = table[group + ROWS + row]!;
    if ((bits & bit) === 0) return;
    table[group + ROWS + row] = bits & ~bit;
    if ((table[group + HELD]! & bit) !== 0) table[this.#record(row) + LACKS]!++;
    else if ((table[group + BUSY]! & bit) === 0) table[this.#record(row) + USEFUL]!--;
  }

  /** A missing piece is asked of a peer (live) or reserved: not to be asked again. */
  setBusy(piece: number): void {
    if (!this.wants(piece)) return;
    const group = this.#group(piece >>> 5);
    this.#table[group + BUSY] = this.#table[group + BUSY]! | (1 << (piece & 31));
    this.#countUseful(group, piece, -1);
  }

  clearBusy(piece: number): void {
    const group = this.#group(piece >>> 5);
    const bit = 1 << (piece & 31);
    if ((this.#table[group + BUSY]! & bit) === 0) return;
    this.#table[group + BUSY] = this.#table[group + BUSY]! & ~bit;
    this.#countUseful(group, piece, 1);
  }

  /** @returns whether the piece was missing */
  hold(piece: number): boolean {
    if (piece < 0 || piece >= this.pieces || this.has(piece)) return false;
    const table = this.#table;
    const group = this.#group(piece >>> 5);
    const bit = 1 << (piece & 31);
    this.clearBusy(piece);
    table[group + HELD] = table[group + HELD]! | bit;
    this.#count++;
    for (let row = 0; row < this.rows; row++) {
      if ((table[group + ROWS + row]! & bit) !== 0) table[this.#record(row) + USEFUL]!--;
      else table[this.#record(row) + LACKS]!++;
    }
    return true;
  }

  /** Nothing is held or busy any more; what neighbours hold is unchanged. */
  holdNothing(): void {
    const table = this.#table;
    for (let row = 0; row < this.rows; row++) {
      table[this.#record(row) + USEFUL] = 0;
      table[this.#record(row) + LACKS] = 0;
    }
    for (let word = 0; word < this.words; word++) {
      const group = this.#group(word);
      table[group + HELD] = 0;
      table[group + BUSY] = 0;
      for (let row = 0; row < this.rows; row++) {
        table[this.#record(row) + USEFUL]! += bitCount(table[group + ROWS + row]!);
      }
    }
    this.#count = 0;
  }

  /** First piece at or after `from` that we do not hold, or `pieces` when there is none. */
  firstMissing(from: number): number {
    let missing = -1 << (from & 31);
    for (let word = from >>> 5; word < this.words; word++) {
      missing &= ~this.#table[this.#group(word) + HELD]!;
      if (missing !== 0) return Math.min((word << 5) | lowestBit(missing), this.pieces);
      missing = -1;
    }
    return this.pieces;
  }

  anyUseful(rows: Int32Array, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.useful(rows[i]!)) return true;
    return false;
  }

  /** Bits of the pieces of that word that we want and one of the rows holds. */
  candidates(word: number, rows: Int32Array, count: number): number {
    const table = this.#table;
    const group = this.#group(word);
    const wanted = ~(table[group + HELD]! | table[group + BUSY]!);
    if (wanted === 0) return 0;
    let held = 0;
    for (let i = 0; i < count; i++) held |= table[group + ROWS + rows[i]!]!;
    return held & wanted;
  }

  /** Of some pieces of that word, the first of those with fewest holders: 32 times their number, plus its bit. */
  rarest(word: number, candidates: number): number {
    if (this.rows > MOST_COUNTED) return this.#rarestOneByOne(word, candidates);
    const table = this.#table;
    const first = this.#group(word) + ROWS;
    // 32 counters at once: c1 has the lowest bit of each of them, c16 the highest.
    let c1 = 0;
    let c2 = 0;
    let c4 = 0;
    let c8 = 0;
    let c16 = 0;
    for (let row = 0; row < this.rows; row++) {
      if (this.#uncounted > 0 && !this.#counts(row)) continue;
      let carry = table[first + row]!;
      let before = c1;
      c1 ^= carry;
      carry &= before;
      before = c2;
      c2 ^= carry;
      carry &= before;
      before = c4;
      c4 ^= carry;
      carry &= before;
      before = c8;
      c8 ^= carry;
      c16 ^= carry & before;
    }
    // From the highest bit down, those that have it are out when others do not have it.
    let left = (candidates & ~c16) === 0 ? candidates : candidates & ~c16;
    left = (left & ~c8) === 0 ? left : left & ~c8;
    left = (left & ~c4) === 0 ? left : left & ~c4;
    left = (left & ~c2) === 0 ? left : left & ~c2;
    left = (left & ~c1) === 0 ? left : left & ~c1;
    const bit = lowestBit(left);
    const at = (counter: number): number => (counter >>> bit) & 1;
    const holders = (at(c16) << 4) | (at(c8) << 3) | (at(c4) << 2) | (at(c2) << 1) | at(c1);
    return (holders << 5) | bit;
  }

  #rarestOneByOne(word: number, candidates: number): number {
    let best = MORE_THAN_ANY << 5;
    for (let left = candidates; left !== 0; left &= left - 1) {
      const bit = lowestBit(left);
      best = Math.min(best, (this.holders((word << 5) | bit) << 5) | bit);
    }
    return best;
  }

  #is(row: number, trait: number): boolean {
    return (this.#table[this.#record(row) + SHARER]! & trait) !== 0;
  }

  #counts(row: number): boolean {
    return !this.#is(row, SUPERNODE | DISCOUNTED);
  }

  /** The missing piece became wanted (1) or unwanted (-1): those who hold it are more or less useful. */
  #countUseful(group: number, piece: number, change: number): void {
    const table = this.#table;
    const bit = 1 << (piece & 31);
    for (let row = 0; row < this.rows; row++) {
      if ((table[group + ROWS + row]! & bit) !== 0) table[this.#record(row) + USEFUL]! += change;
    }
  }

  /** Where the group of 32 pieces begins in the table. */
  #group(word: number): number {
    return this.#groups + word * this.#groupWords;
  }

  /** Makes room for peers with numbers below `peers`, and for so many rows. */
  #makeRoom(peers: number, rows: number): void {
    const records = peers <= this.#records ? this.#records : Math.max(peers, this.#records * 2);
    const groupWords = ROWS + rows <= this.#groupWords ? this.#groupWords : this.#groupWords + moreRows(rows);
    if (records === this.#records && groupWords === this.#groupWords) return;
    const from = this.#table;
    const { array, at } = this.#memory.words.take(records * RECORD_WORDS + this.words * groupWords);
    const groups = at + records * RECORD_WORDS;
    array.set(from.subarray(this.#start, this.#record(this.#records)), at);
    for (let word = 0; word < this.words; word++) {
      const group = this.#group(word);
      array.set(from.subarray(group, group + this.#groupWords), groups + word * groupWords);
    }
    this.#table = array;
    this.#start = at;
    this.#records = records;
    this.#groups = groups;
    this.#groupWords = groupWords;
  }

  /** Where the record of a peer or row begins in the table. */
  #record(index: number): number {
    return this.#start + index * RECORD_WORDS;
  }
}

/** How many rows to add to `rows` that are full: whole half cache lines. */
function moreRows(rows: number): number {
  return MORE_ROWS + ((rows >> 1) & -MORE_ROWS);
}

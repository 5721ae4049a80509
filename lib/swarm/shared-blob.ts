import type { Bitfield } from '../core/bitfield.ts';
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
/** Twice the peer of row i, plus one when it is a supernode. */
const SHARER = 1;
/** How many pieces of row i are missing here and not busy. */
const USEFUL = 2;
/** How many pieces held here are missing in row i. */
const LACKS = 3;

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
 * One blob as a node sees it: what we hold, what is under way, and what each neighbour that shares it holds. A
 * neighbour's pieces are one row of a bit matrix; `rowOf` finds the row of a peer.
 */
export class SharedBlob {
  readonly pieces: number;
  /** 32-bit words of one row. */
  readonly words: number;
  /** Neighbours that share it; their rows are below this. */
  rows = 0;
  /** Live or storing requests. */
  inFlight = 0;
  /** The round of requests in which nothing more could be asked for. */
  exhausted = 0;
  /** Supernodes that share it. */
  supernodes = 0;
  priority: number;
  /** When bytes last came from any peer, or a request had a reason not to be made (all slots busy). */
  movedAt: number;
  /** The same, for peers of our own zone and supernodes. */
  localAt: number;
  /** When bytes last came from any peer, milliseconds. */
  progressedAt: number;
  /** Mean time of recent requests that brought their piece, milliseconds; 0 before the first. */
  paceMs = 0;
  #table: Int32Array;
  /** Where the records begin in the table, and how many there are. */
  #start: number;
  #records = INITIAL_PEERS;
  /** Where the groups begin in the table, and the words of each. */
  #groups: number;
  #groupWords = ROWS + INITIAL_ROWS;
  #count = 0;
  /** First missing piece at or after the cursor. */
  #head: number;
  #cursor = 0;
  /** Pieces that the caller reads from elsewhere; a subset of busy. Few blobs ever have any. */
  #reserved: Set<number> | undefined;
  readonly #memory: Memory;

  constructor(pieces: number, have: Bitfield | undefined, priority: number, now: number, memory: Memory) {
    this.pieces = pieces;
    this.words = (pieces + 31) >>> 5;
    this.priority = priority;
    this.movedAt = now;
    this.localAt = now;
    this.progressedAt = now;
    this.#memory = memory;
    const { array, at } = memory.words.take(INITIAL_PEERS * RECORD_WORDS + this.words * this.#groupWords);
    this.#table = array;
    this.#start = at;
    this.#groups = at + INITIAL_PEERS * RECORD_WORDS;
    if (have !== undefined) {
      for (let word = 0; word < this.words; word++) this.#table[this.#group(word) + HELD] = have.words[word]!;
      this.#count = have.count;
    }
    this.#head = this.#firstMissing(0);
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

  /** The peer's row, or -1 when it does not share the blob. */
  rowOf(peer: number): number {
    return peer >= 0 && peer < this.#records ? this.#table[this.#record(peer) + ROW_OF]! - 1 : -1;
  }

  /** The peer of a row. */
  sharer(row: number): number {
    return this.#table[this.#record(row) + SHARER]! >> 1;
  }

  addSharer(peer: number, supernode = false): void {
    if (this.rowOf(peer) >= 0) return;
    const row = this.rows++;
    this.#makeRoom(peer + 1, this.rows);
    const table = this.#table;
    table[this.#record(peer) + ROW_OF] = row + 1;
    const record = this.#record(row);
    table[record + SHARER] = (peer << 1) | (supernode ? 1 : 0);
    table[record + USEFUL] = 0;
    table[record + LACKS] = this.#count;
    for (let word = 0; word < this.words; word++) table[this.#group(word) + ROWS + row] = 0;
    if (supernode) this.supernodes++;
  }

  removeSharer(peer: number): void {
    const row = this.rowOf(peer);
    if (row < 0) return;
    const table = this.#table;
    if (this.#isSupernode(row)) this.supernodes--;
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

  /** Keeps a wanted piece from being asked for, because the caller reads it from elsewhere. */
  reserve(piece: number): void {
    this.#reserved ??= new Set();
    this.#reserved.add(piece);
    this.setBusy(piece);
  }

  unreserve(piece: number): void {
    if (this.#reserved?.delete(piece) === true) this.clearBusy(piece);
  }

  /** Missing, and nobody is asked for it. */
  wants(piece: number): boolean {
    if (piece < 0 || piece >= this.pieces) return false;
    const group = this.#group(piece >>> 5);
    return ((this.#table[group + HELD]! | this.#table[group + BUSY]!) & (1 << (piece & 31))) === 0;
  }

  /** @returns whether the piece was missing */
  gain(piece: number): boolean {
    if (piece < 0 || piece >= this.pieces || this.has(piece)) return false;
    const table = this.#table;
    const group = this.#group(piece >>> 5);
    const bit = 1 << (piece & 31);
    this.#reserved?.delete(piece);
    this.clearBusy(piece);
    table[group + HELD] = table[group + HELD]! | bit;
    this.#count++;
    for (let row = 0; row < this.rows; row++) {
      if ((table[group + ROWS + row]! & bit) !== 0) table[this.#record(row) + USEFUL]!--;
      else table[this.#record(row) + LACKS]!++;
    }
    if (piece === this.#head) this.#head = this.#firstMissing(piece);
    return true;
  }

  /** Whether any piece is missing that nobody is asked for. */
  wantsAny(): boolean {
    return this.#count + this.inFlight + (this.#reserved?.size ?? 0) < this.pieces;
  }

  /** Whether the peer in that row holds anything that we want. */
  useful(row: number): boolean {
    return this.#table[this.#record(row) + USEFUL]! > 0;
  }

  /** Whether the peer in that row lacks anything that we hold. */
  lacks(row: number): boolean {
    return this.#table[this.#record(row) + LACKS]! > 0;
  }

  /** Bits of the pieces, 32 times `word` and following, that we hold and the peer in that row lacks. */
  lacking(row: number, word: number): number {
    const group = this.#group(word);
    return this.#table[group + HELD]! & ~this.#table[group + ROWS + row]!;
  }

  /** Neighbours known to hold the piece, supernodes not counted. */
  holders(piece: number): number {
    if (piece < 0 || piece >= this.pieces) return 0;
    let count = 0;
    for (let row = 0; row < this.rows; row++) if (!this.#isSupernode(row) && this.peerHas(row, piece)) count++;
    return count;
  }

  setCursor(piece: number): void {
    this.#cursor = Math.min(Math.max(piece, 0), this.pieces);
    this.#head = this.#firstMissing(this.#cursor);
  }

  /** We hold nothing any more. */
  reset(): void {
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
    this.#reserved = undefined;
    this.#head = this.#cursor;
  }

  /** First wanted piece from the cursor on, then from the beginning, that one of the rows holds; or -1. */
  firstIn(rows: Int32Array, count: number): number {
    if (!this.#anyUseful(rows, count)) return -1;
    const found = this.#firstBetween(this.#head, this.pieces, rows, count);
    return found >= 0 || this.#cursor === 0 ? found : this.#firstBetween(0, this.#cursor, rows, count);
  }

  /** A wanted piece of those rows with few holders among `sample` of them, looked at from `start` on; or -1. */
  rareIn(rows: Int32Array, count: number, sample: number, start: number): number {
    if (!this.#anyUseful(rows, count)) return -1;
    let best = -1;
    let fewest = MORE_THAN_ANY;
    let left = sample;
    let word = start >>> 5;
    // The first word is looked at twice, so that pieces before `start` in it have their turn too.
    let mask = -1 << (start & 31);
    for (let step = 0; step <= this.words && left > 0; step++) {
      let candidates = this.#candidates(word, rows, count) & mask;
      if (candidates !== 0) {
        const found = bitCount(candidates);
        if (found > left) candidates = lowestBits(candidates, left);
        left -= found;
        const rarest = this.#rarest(word, candidates);
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

  /** Of some pieces of that word, the first of those with fewest holders: 32 times their number, plus its bit. */
  #rarest(word: number, candidates: number): number {
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
      if (this.supernodes > 0 && this.#isSupernode(row)) continue;
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

  #firstBetween(from: number, to: number, rows: Int32Array, count: number): number {
    if (from >= to) return -1;
    let candidates = this.#candidates(from >>> 5, rows, count) & (-1 << (from & 31));
    for (let word = from >>> 5; ; ) {
      if (candidates !== 0) {
        const piece = (word << 5) | lowestBit(candidates);
        return piece < to ? piece : -1;
      }
      word++;
      if (word << 5 >= to) return -1;
      candidates = this.#candidates(word, rows, count);
    }
  }

  #anyUseful(rows: Int32Array, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.useful(rows[i]!)) return true;
    return false;
  }

  /** Bits of the pieces of that word that we want and one of the rows holds. */
  #candidates(word: number, rows: Int32Array, count: number): number {
    const table = this.#table;
    const group = this.#group(word);
    const wanted = ~(table[group + HELD]! | table[group + BUSY]!);
    if (wanted === 0) return 0;
    let held = 0;
    for (let i = 0; i < count; i++) held |= table[group + ROWS + rows[i]!]!;
    return held & wanted;
  }

  #isSupernode(row: number): boolean {
    return (this.#table[this.#record(row) + SHARER]! & 1) !== 0;
  }

  /** Where the group of 32 pieces begins in the table. */
  #group(word: number): number {
    return this.#groups + word * this.#groupWords;
  }

  /** The missing piece became wanted (1) or unwanted (-1): those who hold it are more or less useful. */
  #countUseful(group: number, piece: number, change: number): void {
    const table = this.#table;
    const bit = 1 << (piece & 31);
    for (let row = 0; row < this.rows; row++) {
      if ((table[group + ROWS + row]! & bit) !== 0) table[this.#record(row) + USEFUL]! += change;
    }
  }

  /** First piece at or after `from` that we do not hold, or `pieces` when there is none. */
  #firstMissing(from: number): number {
    let missing = -1 << (from & 31);
    for (let word = from >>> 5; word < this.words; word++) {
      missing &= ~this.#table[this.#group(word) + HELD]!;
      if (missing !== 0) return Math.min((word << 5) | lowestBit(missing), this.pieces);
      missing = -1;
    }
    return this.pieces;
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

/** Number of the lowest bit set. */
function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

function lowestBits(bits: number, count: number): number {
  let rest = bits;
  for (let i = 0; i < count; i++) rest &= rest - 1;
  return bits ^ rest;
}

function bitCount(bits: number): number {
  let sum = bits - ((bits >>> 1) & 0x55555555);
  sum = (sum & 0x33333333) + ((sum >>> 2) & 0x33333333);
  return Math.imul((sum + (sum >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

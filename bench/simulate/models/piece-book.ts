import type { Rng } from '../../../lib/runtime/rng.ts';

const MAX_CANDIDATES = 32;

/** Who holds which pieces, and who knows: the pieces of all layers in one row, one bit each. */
export class PieceBook {
  readonly #words: number;
  readonly #pieces: number;
  /** 1 for a distance at which news arrive later; end -> pieces of which those neighbours know. */
  readonly #told: readonly [Int32Array, Int32Array];
  /** Node -> pieces that it holds or has asked for. */
  readonly #taken: Int32Array;
  /** Node -> piece -> neighbours that hold it, as far as the node knows. */
  readonly #copies: Uint16Array;

  constructor(nodes: number, ends: number, pieces: number) {
    this.#words = Math.ceil(pieces / 32);
    this.#pieces = pieces;
    this.#told = [new Int32Array(ends * this.#words), new Int32Array(ends * this.#words)];
    this.#taken = new Int32Array(nodes * this.#words);
    this.#copies = new Uint16Array(nodes * pieces);
  }

  /** Neighbours at that distance hear that the end holds the piece; each is then told with {@link hear}. */
  tell(end: number, piece: number, distance: 0 | 1): void {
    this.#told[distance][end * this.#words + (piece >>> 5)]! |= 1 << (piece & 31);
  }

  hear(node: number, piece: number): void {
    this.#copies[node * this.#pieces + piece]!++;
  }

  /** A new neighbour shows what it holds, or one that is lost takes it away. */
  meet(node: number, peer: number, distance: 0 | 1, change: 1 | -1): void {
    const told = this.#told[distance];
    for (let piece = 0; piece < this.#pieces; piece++) {
      if ((told[peer * this.#words + (piece >>> 5)]! >>> (piece & 31)) & 1) {
        this.#copies[node * this.#pieces + piece]! += change;
      }
    }
  }

  isTaken(node: number, piece: number): boolean {
    return ((this.#taken[node * this.#words + (piece >>> 5)]! >>> (piece & 31)) & 1) === 1;
  }

  take(node: number, piece: number): void {
    this.#taken[node * this.#words + (piece >>> 5)]! |= 1 << (piece & 31);
  }

  giveBack(node: number, piece: number): void {
    this.#taken[node * this.#words + (piece >>> 5)]! &= ~(1 << (piece & 31));
  }

  /** The rarest of some random pieces that the peer holds and the node wants; -1 when there is none. */
  pick(node: number, peer: number, distance: 0 | 1, rng: Rng): number {
    const words = this.#words;
    const told = this.#told[distance];
    const start = rng.int(words);
    let rarest = -1;
    let fewest = Number.POSITIVE_INFINITY;
    let seen = 0;
    for (let i = 0; i < words && seen < MAX_CANDIDATES; i++) {
      const word = start + i < words ? start + i : start + i - words;
      let bits = told[peer * words + word]! & ~this.#taken[node * words + word]!;
      while (bits !== 0) {
        const piece = word * 32 + 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        seen++;
        const copies = this.#copies[node * this.#pieces + piece]!;
        // Of equally rare ones, each is as likely.
        if (copies > fewest || (copies === fewest && rng.int(seen) > 0)) continue;
        rarest = piece;
        fewest = copies;
      }
    }
    return rarest;
  }
}

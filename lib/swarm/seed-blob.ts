import type { Bitfield } from '../core/bitfield.ts';
import { Memory } from './memory.ts';
import { SharedBlob } from './shared-blob.ts';

/** How a piece came to a seed, and to whom others give it: who is that far gets it from here only when it has to. */
export const Came = {
  /** Read by us: ours to give to everybody. */
  read: 0,
  /** Brought into our site by us: others give it to those outside. */
  brought: 1,
  /** Copied from another supernode of our site, which gives it to those outside our zone. */
  copied: 2,
} as const;
export type CameValue = (typeof Came)[keyof typeof Came];

/** Where a peer is: in our own zone, in one that our site looks after, or beyond. */
export const Far = { own: 0, within: 1, outside: 2 } as const;
export type FarValue = (typeof Far)[keyof typeof Far];

/** One blob of a seed: what is held, what each peer holds, and how often each piece was given in each zone. */
export class SeedBlob {
  readonly shared: SharedBlob;
  /** Zone -> piece -> times given there. */
  readonly #given: Uint16Array[] = [];
  /** Piece -> how it came. */
  readonly #came: Uint8Array;
  /** Pieces that one peer could be given, while a decision is made. */
  readonly #lacking: Int32Array;

  constructor(pieces: number, have: Bitfield | undefined) {
    this.shared = new SharedBlob(pieces, have, 0, 0, new Memory());
    this.#lacking = new Int32Array(this.shared.words);
    this.#came = new Uint8Array(pieces);
  }

  came(piece: number, how: CameValue): void {
    this.#came[piece] = how;
  }

  given(zone: number): Uint16Array {
    let counts = this.#given[zone];
    if (counts === undefined) {
      counts = new Uint16Array(this.shared.pieces);
      this.#given[zone] = counts;
    }
    return counts;
  }

  /** How often the piece was given in the zone; what others give there counts as given once. */
  times(zone: number, piece: number, far: FarValue): number {
    return this.given(zone)[piece]! + this.#others(piece, far);
  }

  /** The piece counts as given once less. */
  notGiven(zone: number, piece: number): void {
    const given = this.given(zone);
    if (given[piece]! > 0) given[piece]!--;
  }

  forgetGiven(): void {
    for (const counts of this.#given) counts?.fill(0);
  }

  /** Notes the pieces that we hold and the peer in that row lacks. @returns whether there are any */
  look(row: number): boolean {
    if (!this.shared.lacks(row)) return false;
    for (let word = 0; word < this.#lacking.length; word++) {
      this.#lacking[word] = this.shared.lacking(row, word);
    }
    return true;
  }

  /** Takes a piece out of what {@link look} noted. */
  overlook(piece: number): void {
    this.#lacking[piece >>> 5] = this.#lacking[piece >>> 5]! & ~(1 << (piece & 31));
  }

  /** The first of what was noted, or -1. */
  first(): number {
    for (let word = 0; word < this.#lacking.length; word++) {
      const left = this.#lacking[word]!;
      if (left !== 0) return (word << 5) | (31 - Math.clz32(left & -left));
    }
    return -1;
  }

  /**
   * Of what was noted, the piece least given in the zone, at most `most` {@link times}; ties in order; or -1.
   */
  leastGiven(zone: number, most: number, far: FarValue): number {
    const given = this.given(zone);
    let fewest = most + 1;
    let best = -1;
    for (let word = 0; word < this.#lacking.length; word++) {
      for (let left = this.#lacking[word]!; left !== 0; left &= left - 1) {
        const piece = (word << 5) | (31 - Math.clz32(left & -left));
        const times = given[piece]! + this.#others(piece, far);
        if (times >= fewest) continue;
        if (times === 0) return piece;
        fewest = times;
        best = piece;
      }
    }
    return best;
  }

  #others(piece: number, far: FarValue): number {
    return this.#came[piece]! > Far.outside - far ? 1 : 0;
  }
}

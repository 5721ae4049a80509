import type { Bitfield } from '../core/bitfield.ts';
import { Memory } from './memory.ts';
import { SharedBlob } from './shared-blob.ts';

/** One blob of a seed: what is held, what each peer holds, and how often each piece was given in each zone. */
export class SeedBlob {
  readonly shared: SharedBlob;
  /** Zone -> piece -> times given there. */
  readonly #given: Uint16Array[] = [];
  /** Pieces that one peer could be given, while a decision is made. */
  readonly #lacking: Int32Array;

  constructor(pieces: number, have: Bitfield | undefined) {
    this.shared = new SharedBlob(pieces, have, 0, 0, new Memory());
    this.#lacking = new Int32Array(this.shared.words);
  }

  given(zone: number): Uint16Array {
    let counts = this.#given[zone];
    if (counts === undefined) {
      counts = new Uint16Array(this.shared.pieces);
      this.#given[zone] = counts;
    }
    return counts;
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

  /** Of what was noted, the piece least given in the zone, at most `most` times; ties in order; or -1. */
  leastGiven(zone: number, most: number): number {
    const given = this.given(zone);
    let fewest = most + 1;
    let best = -1;
    for (let word = 0; word < this.#lacking.length; word++) {
      for (let left = this.#lacking[word]!; left !== 0; left &= left - 1) {
        const piece = (word << 5) | (31 - Math.clz32(left & -left));
        if (given[piece]! >= fewest) continue;
        if (given[piece] === 0) return piece;
        fewest = given[piece]!;
        best = piece;
      }
    }
    return best;
  }
}

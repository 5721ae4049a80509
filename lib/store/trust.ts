import { Bitfield } from '../core/bitfield.ts';
import { clearAll } from './held-pieces.ts';

/** What was trusted of a file when it was closed. */
export interface PastTrust {
  readonly pieces: Bitfield;
  readonly stamp: string;
}

/**
 * Which pieces of a file were seen to match their proofs since the file was last changed by anyone but us. What changes
 * a file changes its stamp; while we write to it ourselves, that says nothing.
 */
export class Trust {
  readonly pieces: Bitfield;
  readonly #stamp: () => string;
  #known: string;
  #ours = 0;

  /** @param stamp of the file as it is now; what was trusted before holds if the file has not changed since */
  constructor(pieces: number, stamp: () => string, past?: PastTrust) {
    this.pieces = past?.pieces ?? new Bitfield(pieces);
    this.#stamp = stamp;
    this.#known = past?.stamp ?? stamp();
    this.look();
  }

  /** What to keep while the file is closed; undefined when that is nothing. */
  get past(): PastTrust | undefined {
    return this.pieces.count === 0 ? undefined : { pieces: this.pieces, stamp: this.#known };
  }

  /** Notices a change by others: then no piece is trusted any more. */
  look(): void {
    if (this.#ours > 0) return;
    const stamp = this.#stamp();
    if (stamp === this.#known) return;
    this.#known = stamp;
    clearAll(this.pieces);
  }

  /** We change the file, or its name. */
  async during<T>(change: () => Promise<T>): Promise<T> {
    if (this.#ours === 0) this.look();
    this.#ours++;
    try {
      return await change();
    } finally {
      if (--this.#ours === 0) this.#known = this.#stamp();
    }
  }
}

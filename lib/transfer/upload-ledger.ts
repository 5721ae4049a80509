import type { Metrics } from '../observe/metrics.ts';
import type { StoredBlob } from '../store/store.ts';
import type { Neighbour } from './neighbour.ts';
import type { PieceAdmission } from './seams.ts';

/** Uploads under way per neighbour, so that each slot is given back exactly once, also when the link goes first. */
export class UploadLedger {
  readonly #metrics: Metrics;
  readonly #ended: (slot: number) => void;
  readonly #active = new Map<Neighbour, number>();
  #total = 0;

  /** @param ended an upload to the peer in this slot of the core is over */
  constructor(deps: { readonly metrics: Metrics }, ended: (slot: number) => void) {
    this.#metrics = deps.metrics;
    this.#ended = ended;
  }

  /** The admission of a piece whose slot the core has just taken. */
  serve(neighbour: Neighbour, stored: StoredBlob): PieceAdmission {
    this.#active.set(neighbour, (this.#active.get(neighbour) ?? 0) + 1);
    this.#metrics.uploadsActive.set(++this.#total);
    return {
      kind: 'serve',
      size: stored.info.size,
      read: (offset, into) => stored.read(offset, into),
      done: (sentBytes) => {
        this.#metrics.uploadsActive.set(--this.#total);
        this.#metrics.sentBytes.inc({ to: 'peer' }, sentBytes);
        const count = this.#active.get(neighbour);
        if (count === undefined) return;
        if (count === 1) this.#active.delete(neighbour);
        else this.#active.set(neighbour, count - 1);
        this.#ended(neighbour.slot);
      },
    };
  }

  /** The neighbour is gone. @returns how many of its uploads the core still counts */
  forget(neighbour: Neighbour): number {
    const count = this.#active.get(neighbour) ?? 0;
    this.#active.delete(neighbour);
    return count;
  }
}

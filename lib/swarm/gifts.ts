import { grown } from './slots.ts';

/**
 * What becomes of one piece that a seed wants a peer to have. `offered` and `sending` take a slot. `arrived`: being
 * sent, and the peer already says that it holds the piece. `sent`: waits for the peer to say so. `refused`: the peer
 * has no use for it now; remembered so that it is not offered again at once.
 */
export const GiftState = { free: 0, offered: 1, sending: 2, arrived: 3, sent: 4, refused: 5 } as const;
export type GiftStateValue = (typeof GiftState)[keyof typeof GiftState];

const INITIAL_CAPACITY = 32;
/** `blob` of a gift whose blob was removed while it was being sent. */
export const NO_BLOB = -1;

/** The gifts of one seed that are not yet known to have arrived, struct of arrays, oldest not necessarily first. */
export class Gifts {
  /** All gifts have an index below this. */
  end = 0;
  state = new Uint8Array(INITIAL_CAPACITY);
  peer = new Int32Array(INITIAL_CAPACITY);
  blob = new Int32Array(INITIAL_CAPACITY);
  piece = new Int32Array(INITIAL_CAPACITY);
  /** When it came into its state, milliseconds. */
  since = new Float64Array(INITIAL_CAPACITY);
  /** 1 while the piece counts as given. */
  counted = new Uint8Array(INITIAL_CAPACITY);
  /** 1 when it was made out of turn, because the peer's client waits for the piece. */
  outOfTurn = new Uint8Array(INITIAL_CAPACITY);
  /** When it was made, milliseconds. */
  madeAt = new Float64Array(INITIAL_CAPACITY);

  /** @returns its index */
  add(state: GiftStateValue, peer: number, blob: number, piece: number, now: number): number {
    let gift = 0;
    while (gift < this.end && this.state[gift] !== GiftState.free) gift++;
    if (gift === this.state.length) this.#grow();
    if (gift === this.end) this.end++;
    this.state[gift] = state;
    this.peer[gift] = peer;
    this.blob[gift] = blob;
    this.piece[gift] = piece;
    this.since[gift] = now;
    this.madeAt[gift] = now;
    this.counted[gift] = 1;
    this.outOfTurn[gift] = 0;
    return gift;
  }

  /** The gift of that piece to that peer in one of two states, or -1. */
  find(peer: number, blob: number, piece: number, state: GiftStateValue, or = state): number {
    for (let gift = 0; gift < this.end; gift++) {
      if (this.piece[gift] !== piece || this.peer[gift] !== peer || this.blob[gift] !== blob) continue;
      if (this.state[gift] === state || this.state[gift] === or) return gift;
    }
    return -1;
  }

  /** The upload to the peer that began first, or -1. */
  oldestUpload(peer: number): number {
    let oldest = -1;
    for (let gift = 0; gift < this.end; gift++) {
      if (this.peer[gift] !== peer) continue;
      if (this.state[gift] !== GiftState.sending && this.state[gift] !== GiftState.arrived) continue;
      if (oldest < 0 || this.since[gift]! < this.since[oldest]!) oldest = gift;
    }
    return oldest;
  }

  become(gift: number, state: GiftStateValue, now: number): void {
    this.state[gift] = state;
    this.since[gift] = now;
    while (this.end > 0 && this.state[this.end - 1] === GiftState.free) this.end--;
  }

  /** Whether the gift takes a slot of the seed. */
  takesSlot(gift: number): boolean {
    const state = this.state[gift]!;
    return state === GiftState.offered || state === GiftState.sending || state === GiftState.arrived;
  }

  #grow(): void {
    const size = this.state.length * 2;
    this.state = grown(this.state, new Uint8Array(size));
    this.peer = grown(this.peer, new Int32Array(size));
    this.blob = grown(this.blob, new Int32Array(size));
    this.piece = grown(this.piece, new Int32Array(size));
    this.since = grown(this.since, new Float64Array(size));
    this.counted = grown(this.counted, new Uint8Array(size));
    this.outOfTurn = grown(this.outOfTurn, new Uint8Array(size));
    this.madeAt = grown(this.madeAt, new Float64Array(size));
  }
}

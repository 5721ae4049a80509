import type { Rng } from '../runtime/rng.ts';
import type { GiftLedger } from './gift-ledger.ts';
import { isSlow } from './gift-pace.ts';
import { keepsToItself } from './gift-spread.ts';
import { GiftState, type Gifts } from './gifts.ts';
import type { SeedBlob } from './seed-blob.ts';
import type { SeedCoreOptions } from './seed-core-options.ts';
import { OWN_ZONE, type SeedPeer } from './seed-peer.ts';

const ANY_COUNT = 0xffff;

/** What a seed should give next, and to whom. */
export class GiftChoice {
  /** What {@link next} found: numbers of the peer, the blob and the piece. */
  peer = -1;
  blob = -1;
  piece = -1;
  readonly #peers: readonly (SeedPeer | undefined)[];
  readonly #blobs: readonly (SeedBlob | undefined)[];
  readonly #gifts: Gifts;
  readonly #ledger: GiftLedger;
  readonly #options: SeedCoreOptions;
  readonly #rng: Rng;

  /** @param gifts those of the ledger */
  constructor(
    peers: readonly (SeedPeer | undefined)[],
    blobs: readonly (SeedBlob | undefined)[],
    gifts: Gifts,
    ledger: GiftLedger,
    options: SeedCoreOptions,
    rng: Rng,
  ) {
    this.#peers = peers;
    this.#blobs = blobs;
    this.#gifts = gifts;
    this.#ledger = ledger;
    this.#options = options;
    this.#rng = rng;
  }

  /**
   * Of the peers with a free download slot that lack something which may be given, the one that waits longest, and what
   * it should have.
   * @returns false when there is none
   */
  next(now: number): boolean {
    this.peer = -1;
    const from = this.#rng.int(this.#peers.length);
    for (let i = 0; i < this.#peers.length; i++) {
      const peer = from + i < this.#peers.length ? from + i : from + i - this.#peers.length;
      const info = this.#peers[peer];
      if (info === undefined || info.down <= 0) continue;
      const best = this.#peers[this.peer];
      if (best !== undefined && !waitsLonger(info, best)) continue;
      // Blobs take turns, so that no layer waits until another one is given out; but what nobody was given goes before.
      let fewest = ANY_COUNT + 1;
      for (let turn = 0; turn < this.#blobs.length && fewest > 0; turn++) {
        const slot = (this.#ledger.made + turn) % this.#blobs.length;
        const piece = this.#pick(peer, info, slot, fewest - 1, now);
        if (piece < 0) continue;
        const alone = keepsToItself(info, now);
        fewest = alone ? 0 : this.#blobs[slot]!.times(info.zone, piece, info.far);
        this.peer = peer;
        this.blob = slot;
        this.piece = piece;
      }
    }
    return this.peer >= 0;
  }

  /** The piece of the blob that the peer should have next, given at most so often in its zone; or -1. */
  #pick(peer: number, info: SeedPeer, slot: number, most: number, now: number): number {
    const blob = this.#blobs[slot];
    const row = blob?.shared.rowOf(peer) ?? -1;
    if (blob === undefined || row < 0 || !blob.look(row)) return -1;
    const gifts = this.#gifts;
    const alone = keepsToItself(info, now);
    for (let gift = 0; gift < gifts.end; gift++) {
      if (gifts.state[gift] === GiftState.free || gifts.blob[gift] !== slot) continue;
      if (alone && gifts.peer[gift] !== peer) continue;
      if (gifts.peer[gift] === peer || this.#ledger.mayStillSpread(gift, info.zone, now)) {
        blob.overlook(gifts.piece[gift]!);
      }
    }
    // It has us alone, and its client wants the blob in order.
    if (alone) return blob.first();
    const again = info.zone === OWN_ZONE || now - info.gotAt >= this.#options.stuckMs;
    return blob.leastGiven(info.zone, again ? most : 0, info.far);
  }
}

/** Slow ones last; fewer gifts under way first, then who was given something longest ago. */
function waitsLonger(a: SeedPeer, b: SeedPeer): boolean {
  const slow = isSlow(a);
  if (slow !== isSlow(b)) return !slow;
  return a.active < b.active || (a.active === b.active && a.lastGift < b.lastGift);
}

import type { GiftPace } from './gift-pace.ts';
import { keepsToItself } from './gift-spread.ts';
import { GiftState, type GiftStateValue, type Gifts, NO_BLOB } from './gifts.ts';
import type { SeedBlob } from './seed-blob.ts';
import type { SeedCoreOptions } from './seed-core-options.ts';
import type { SeedPeer } from './seed-peer.ts';

/**
 * The way of each gift, from when it is made until its peer says that it holds the piece; and what it costs meanwhile:
 * a slot of the seed and of the peer's share, and a count of the piece in the peer's zone.
 */
export class GiftLedger {
  readonly #gifts: Gifts;
  readonly #peers: readonly (SeedPeer | undefined)[];
  readonly #blobs: readonly (SeedBlob | undefined)[];
  readonly #pace: GiftPace;
  readonly #options: SeedCoreOptions;
  #made = 0;
  #slots = 0;
  #outOfTurn = 0;

  /** @param peers by number, as `blobs`: whoever keeps the ledger adds and removes them */
  constructor(
    gifts: Gifts,
    peers: readonly (SeedPeer | undefined)[],
    blobs: readonly (SeedBlob | undefined)[],
    pace: GiftPace,
    options: SeedCoreOptions,
  ) {
    this.#gifts = gifts;
    this.#peers = peers;
    this.#blobs = blobs;
    this.#pace = pace;
    this.#options = options;
  }

  /** Gifts made so far. */
  get made(): number {
    return this.#made;
  }

  /** Slots that gifts take now. */
  get slots(): number {
    return this.#slots;
  }

  /** Slots that gifts out of turn take now. */
  get outOfTurn(): number {
    return this.#outOfTurn;
  }

  /** Whether gifts that were made only wait on the line for each other. @param slots of the seed */
  isBacklogged(slots: number, now: number): boolean {
    const gifts = this.#gifts;
    let underWay = 0;
    for (let gift = 0; gift < gifts.end; gift++) {
      const state = gifts.state[gift];
      const isSent = state === GiftState.sent && now - gifts.since[gift]! < this.#pace.onLineMs;
      if (isSent || state === GiftState.offered || state === GiftState.sending) underWay++;
    }
    return this.#pace.isBacklogged(underWay, slots);
  }

  /**
   * @param state offered, or sending when the peer has asked by itself
   * @returns the gift
   */
  give(state: GiftStateValue, peer: number, slot: number, piece: number, now: number): number {
    const info = this.#peers[peer]!;
    const gift = this.#gifts.add(state, peer, slot, piece, now);
    this.#slots++;
    info.active++;
    info.lastGift = ++this.#made;
    if (keepsToItself(info, now)) this.#gifts.counted[gift] = 0;
    else this.#blobs[slot]!.given(info.zone)[piece]!++;
    return gift;
  }

  /** The gift was not that peer's turn. */
  takeOutOfTurn(gift: number): void {
    this.#gifts.outOfTurn[gift] = 1;
    this.#outOfTurn++;
  }

  /**
   * The peer says that it lacks the piece after all: what was refused, or was sent in vain, is no gift any more.
   * @returns whether there was one
   */
  forgetSent(peer: number, slot: number, piece: number, now: number): boolean {
    const gift = this.#gifts.find(peer, slot, piece, GiftState.sent, GiftState.refused);
    if (gift >= 0) this.#takeBack(gift, now);
    return gift >= 0;
  }

  /** The peer is offered the piece, or gets it just now. */
  isOnItsWay(peer: number, slot: number, piece: number): boolean {
    const { offered, sending, arrived } = GiftState;
    const find = this.#gifts.find.bind(this.#gifts, peer, slot, piece);
    return find(offered, sending) >= 0 || find(arrived) >= 0;
  }

  /** A copy of the piece that may yet spread in the zone is on its way there. */
  maySpread(zone: number, slot: number, piece: number, now: number): boolean {
    const gifts = this.#gifts;
    for (let gift = 0; gift < gifts.end; gift++) {
      if (gifts.state[gift] === GiftState.free || gifts.blob[gift] !== slot) continue;
      if (gifts.piece[gift] === piece && this.mayStillSpread(gift, zone, now)) return true;
    }
    return false;
  }

  /**
   * A copy for that zone is on its way, so that a second one would only take bandwidth from it and from other pieces;
   * for a while, because that peer may be slow or never pass it on.
   */
  mayStillSpread(gift: number, zone: number, now: number): boolean {
    if (this.#gifts.state[gift] === GiftState.refused) return false;
    if (now - this.#gifts.madeAt[gift]! >= this.#pace.patienceMs) return false;
    const peer = this.#peers[this.#gifts.peer[gift]!];
    return peer?.zone === zone && !keepsToItself(peer, now);
  }

  /** The peer asks for the piece. @returns whether it was offered */
  sending(peer: number, slot: number, piece: number, now: number): boolean {
    const gift = this.#gifts.find(peer, slot, piece, GiftState.offered);
    if (gift < 0) return false;
    this.#become(gift, GiftState.sending, now);
    return true;
  }

  /** The peer does not take the piece. @returns whether it was offered */
  declined(peer: number, slot: number, piece: number, now: number): boolean {
    const gift = this.#gifts.find(peer, slot, piece, GiftState.offered);
    if (gift < 0) return false;
    this.#ungive(gift);
    // Without a free slot it may well want the piece later, else it has it or gets it from elsewhere.
    this.#become(gift, this.#peers[peer]!.down > 0 ? GiftState.refused : GiftState.free, now);
    return true;
  }

  /** The oldest upload to the peer ended, however it did. @returns whether there was one */
  uploaded(peer: number, now: number): boolean {
    const gifts = this.#gifts;
    const oldest = gifts.oldestUpload(peer);
    if (oldest < 0) return false;
    const waits = gifts.state[oldest] === GiftState.sending && gifts.blob[oldest] !== NO_BLOB;
    this.#become(oldest, waits ? GiftState.sent : GiftState.free, now);
    return true;
  }

  /** The peer says that it holds the piece. @returns whether it counts as given; undefined = it was no gift under way */
  arrived(peer: number, slot: number, piece: number, now: number): boolean | undefined {
    const gift = this.#gifts.find(peer, slot, piece, GiftState.sending, GiftState.sent);
    if (gift < 0) return undefined;
    const counted = this.#gifts.counted[gift] === 1;
    this.#pace.learn(this.#peers[peer]!, now - this.#gifts.madeAt[gift]!, now);
    const sent = this.#gifts.state[gift] === GiftState.sent;
    this.#become(gift, sent ? GiftState.free : GiftState.arrived, now);
    return counted;
  }

  /** Ends what waited too long. */
  expire(now: number): void {
    const { offerTimeoutMs, confirmTimeoutMs, declineMs } = this.#options;
    const gifts = this.#gifts;
    for (let gift = gifts.end - 1; gift >= 0; gift--) {
      const ageMs = now - gifts.since[gift]!;
      const state = gifts.state[gift];
      if (state === GiftState.offered && ageMs >= offerTimeoutMs) {
        // Whoever does not answer an offer gets the next one only after it told its slots again.
        this.#peers[gifts.peer[gift]!]!.down = 0;
        this.#takeBack(gift, now);
      } else if (state === GiftState.sent && ageMs >= confirmTimeoutMs) {
        this.#takeBack(gift, now);
      } else if (state === GiftState.refused && ageMs >= declineMs) {
        this.#become(gift, GiftState.free, now);
      } else if (state === GiftState.sending && now - gifts.madeAt[gift]! >= this.#pace.patienceMs) {
        // It may come in the end, but until then nobody has the piece.
        this.#ungive(gift);
      }
    }
  }

  /** Ends the blob's gifts; those being sent still end with {@link uploaded}. */
  removeBlob(slot: number): void {
    const gifts = this.#gifts;
    for (let gift = gifts.end - 1; gift >= 0; gift--) {
      if (gifts.blob[gift] !== slot || gifts.state[gift] === GiftState.free) continue;
      if (gifts.state[gift] === GiftState.sending || gifts.state[gift] === GiftState.arrived) {
        gifts.blob[gift] = NO_BLOB;
      } else {
        this.#become(gift, GiftState.free, 0);
      }
    }
  }

  /** Ends the peer's gifts, those being sent too. */
  removePeer(peer: number, now: number): void {
    for (let gift = this.#gifts.end - 1; gift >= 0; gift--) {
      if (this.#gifts.peer[gift] === peer) this.#takeBack(gift, now);
    }
  }

  /** Changes a gift's state; a slot that it no longer needs is free. */
  #become(gift: number, state: GiftStateValue, now: number): void {
    const took = this.#gifts.takesSlot(gift);
    const info = this.#peers[this.#gifts.peer[gift]!];
    this.#gifts.become(gift, state, now);
    if (!took || state === GiftState.sending || state === GiftState.arrived) return;
    this.#slots--;
    this.#outOfTurn -= this.#gifts.outOfTurn[gift]!;
    if (info !== undefined) info.active--;
  }

  /** The piece counts as given once less. */
  #ungive(gift: number): void {
    if (this.#gifts.counted[gift] === 0) return;
    const { zone } = this.#peers[this.#gifts.peer[gift]!]!;
    this.#blobs[this.#gifts.blob[gift]!]?.notGiven(zone, this.#gifts.piece[gift]!);
    this.#gifts.counted[gift] = 0;
  }

  /** Forgets a gift that did not arrive. */
  #takeBack(gift: number, now: number): void {
    const state = this.#gifts.state[gift];
    if (state === GiftState.free) return;
    if (state !== GiftState.refused && state !== GiftState.arrived) this.#ungive(gift);
    this.#become(gift, GiftState.free, now);
  }
}

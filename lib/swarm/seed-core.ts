import type { Bitfield } from '../core/bitfield.ts';
import type { Rng } from '../runtime/rng.ts';
import { Action, ActionBuffer } from './actions.ts';
import { GiftChoice } from './gift-choice.ts';
import { GiftLedger } from './gift-ledger.ts';
import { GiftPace } from './gift-pace.ts';
import { GiftSpread } from './gift-spread.ts';
import { GiftWants } from './gift-wants.ts';
import { GiftState, Gifts } from './gifts.ts';
import type { Spread } from './reading-plan.ts';
import { Came, type CameValue, Far, type FarValue, SeedBlob } from './seed-blob.ts';
import { DEFAULT_SEED_CORE_OPTIONS, type SeedCoreOptions } from './seed-core-options.ts';
import { NEVER, newSeedPeer, OWN_ZONE, type SeedPeer } from './seed-peer.ts';
import { SlotList } from './slots.ts';

/**
 * Every decision of one supernode: which piece to offer to which neighbour. The least-given piece of a zone goes first,
 * so that the swarm as a whole soon holds everything; ties go in order, so that a node alone gets the blob in order.
 * Pure, as PeerCore, with the same rules for numbers and for `actions` (only `offer` actions come out).
 */
export class SeedCore {
  readonly actions: ActionBuffer;
  readonly #options: SeedCoreOptions;
  readonly #pace: GiftPace;
  readonly #ledger: GiftLedger;
  readonly #choice: GiftChoice;
  readonly #wants: GiftWants;
  readonly #spread = new GiftSpread({
    holders: (slot, piece) => this.holders(slot, piece),
    sharers: (slot) => this.#blobs[slot]?.shared.rows ?? 0,
    passing: (peer) => this.#peers[peer],
    // What was not passed on counts as not given.
    kept: (peer, slot, piece) => this.#blobs[slot]?.notGiven(this.#peers[peer]!.zone, piece),
  });
  readonly #peerSlots = new SlotList();
  readonly #peers: (SeedPeer | undefined)[] = [];
  readonly #blobSlots = new SlotList();
  readonly #blobs: (SeedBlob | undefined)[] = [];
  /** Zone -> linked peers. */
  readonly #zones: number[] = [];
  #slots: number;
  #mostSlots = Number.POSITIVE_INFINITY;

  /** @param actions cores that are called one after the other may share one, read and cleared in between */
  constructor(options: Partial<SeedCoreOptions>, rng: Rng, actions = new ActionBuffer()) {
    this.actions = actions;
    this.#options = { ...DEFAULT_SEED_CORE_OPTIONS, ...options };
    this.#slots = this.#options.slots;
    this.#pace = new GiftPace(this.#options.stuckMs);
    const gifts = new Gifts();
    this.#ledger = new GiftLedger(gifts, this.#peers, this.#blobs, this.#pace, this.#options);
    this.#choice = new GiftChoice(this.#peers, this.#blobs, gifts, this.#ledger, this.#options, rng);
    this.#wants = new GiftWants(this.#peers, this.#blobs, this.#ledger);
  }

  /** @returns its number */
  addBlob(pieces: number, have?: Bitfield): number {
    const slot = this.#blobSlots.take();
    this.#blobs[slot] = new SeedBlob(pieces, have);
    this.#spread.addBlob(slot, pieces);
    return slot;
  }

  /** Ends its offers; uploads under way still end with `uploaded`. */
  removeBlob(slot: number): void {
    if (this.#blobs[slot] === undefined) return;
    this.#ledger.removeBlob(slot);
    this.#wants.removeBlob(slot);
    this.#blobs[slot] = undefined;
    this.#spread.removeBlob(slot);
    this.#blobSlots.release(slot);
  }

  /**
   * @param zone a small integer of the caller's; {@link OWN_ZONE} is the supernode's own
   * @param far where that is. @default beyond what our site looks after, but for the own zone
   * @returns the peer's number
   */
  addPeer(zone: number, far: FarValue = zone === OWN_ZONE ? Far.own : Far.outside): number {
    const peer = this.#peerSlots.take();
    this.#zones[zone] = (this.#zones[zone] ?? 0) + 1;
    this.#countSlots();
    this.#peers[peer] = newSeedPeer(zone, far);
    return peer;
  }

  /** Ends its offers and uploads: do not call `uploaded` for it afterwards. */
  removePeer(peer: number, now: number): void {
    if (this.#peers[peer] === undefined) return;
    this.#ledger.removePeer(peer, now);
    this.#wants.removePeer(peer);
    for (const blob of this.#blobs) blob?.shared.removeSharer(peer);
    this.#spread.removePeer(peer);
    this.#zones[this.#peers[peer].zone]!--;
    this.#countSlots();
    this.#peers[peer] = undefined;
    this.#peerSlots.release(peer);
    this.#fill(now);
  }

  peerShares(peer: number, slot: number): void {
    if (this.#peers[peer] !== undefined) this.#blobs[slot]?.shared.addSharer(peer);
  }

  peerUnshares(peer: number, slot: number): void {
    if (this.#peers[peer] === undefined) return;
    this.#blobs[slot]?.shared.removeSharer(peer);
    this.#wants.remove(peer, slot);
  }

  peerHas(peer: number, slot: number, piece: number, now: number): void {
    const info = this.#peers[peer];
    const shared = this.#blobs[slot]?.shared;
    const row = shared?.rowOf(peer) ?? -1;
    if (info === undefined || shared === undefined || row < 0 || piece < 0 || piece >= shared.pieces) return;
    shared.setPeerHas(row, piece);
    info.gotAt = now;
    this.#wants.arrived(peer, slot, piece);
    const counted = this.#ledger.arrived(peer, slot, piece, now);
    if (counted === undefined) return;
    this.#spread.arrived(peer, slot, piece, now, counted);
    this.#fill(now);
  }

  /** The same as {@link peerHas} for one piece after the other. */
  peerHasAll(peer: number, slot: number, pieces: readonly number[], now: number): void {
    for (let i = 0; i < pieces.length; i++) this.peerHas(peer, slot, pieces[i]!, now);
  }

  /**
   * A client of the peer waits for the piece, and nobody sends it. It is offered next, or when it lands, also to a peer
   * without a free slot; to be told again for as long as that is so.
   */
  wanted(peer: number, slot: number, piece: number, now: number): void {
    const shared = this.#blobs[slot]?.shared;
    const row = shared?.rowOf(peer) ?? -1;
    if (this.#peers[peer] === undefined || shared === undefined || row < 0) return;
    if (piece < 0 || piece >= shared.pieces || shared.peerHas(row, piece)) return;
    const again = this.#ledger.forgetSent(peer, slot, piece, now);
    this.#wants.note(peer, slot, piece, again, now);
    this.#fill(now);
  }

  /** Its free slots, as any of its messages tells; `up` and `hungry` do not matter to a seed. */
  peerSlots(peer: number, _up: number, down: number, _hungry: boolean | undefined, now: number): void {
    const info = this.#peers[peer];
    if (info === undefined) return;
    info.down = down;
    if (info.gotAt === NEVER) info.gotAt = now;
    if (down > 0) this.#fill(now);
  }

  /** The piece is verified and can be read here from now on. */
  landed(slot: number, piece: number, now: number, how: CameValue = Came.read): void {
    const blob = this.#blobs[slot];
    if (blob?.shared.gain(piece) !== true) return;
    blob.came(piece, how);
    this.#fill(now);
  }

  /** All pieces of the blob turned out wrong: none is held any more. */
  lost(slot: number): void {
    const blob = this.#blobs[slot];
    if (blob === undefined) return;
    blob.shared.reset();
    blob.forgetGiven();
    this.#spread.lost(slot);
  }

  /**
   * The peer does not take what was offered. Tell the slots that came with it first: without a free one it may well
   * want the piece later, else it has it or gets it from elsewhere.
   */
  declined(peer: number, slot: number, piece: number, now: number): void {
    if (this.#ledger.declined(peer, slot, piece, now)) this.#fill(now);
  }

  /**
   * The neighbour asks for a piece, offered or not.
   * @returns whether a slot was taken; then call `uploaded` once
   */
  admit(peer: number, slot: number, piece: number, now: number): boolean {
    if (this.#peers[peer] === undefined || !this.has(slot, piece)) return false;
    if (this.#ledger.sending(peer, slot, piece, now)) return true;
    if (this.freeSlots === 0) return false;
    this.#ledger.give(GiftState.sending, peer, slot, piece, now);
    return true;
  }

  /** The oldest upload to the peer ended, however it did. */
  uploaded(peer: number, now: number): void {
    if (this.#ledger.uploaded(peer, now)) this.#fill(now);
  }

  /** To be called about every 50 ms: ends what waited too long. */
  tick(now: number): void {
    this.#ledger.expire(now);
    this.#wants.expire(now);
    this.#spread.look(now, this.#pace.patienceMs);
    this.#fill(now);
  }

  /** From now on at most so many slots, at least one; gifts under way go on. */
  limitSlots(slots: number, now: number): void {
    this.#mostSlots = slots;
    this.#countSlots();
    this.#fill(now);
  }

  get freeSlots(): number {
    return Math.max(0, this.#slots - this.#ledger.slots);
  }

  has(slot: number, piece: number): boolean {
    const shared = this.#blobs[slot]?.shared;
    return shared !== undefined && piece >= 0 && piece < shared.pieces && shared.has(piece);
  }

  /** Linked nodes that say they hold the piece. */
  holders(slot: number, piece: number): number {
    return this.#blobs[slot]?.shared.holders(piece) ?? 0;
  }

  /** How the linked nodes stand with the blob. */
  spread(slot: number): Spread {
    const shared = this.#blobs[slot]?.shared;
    let lackers = 0;
    let copies = 0;
    for (let row = 0; shared !== undefined && row < shared.rows; row++) {
      const held = shared.heldBy(row);
      copies += held;
      if (held < shared.pieces) lackers++;
    }
    return { sharers: shared?.rows ?? 0, lackers, copies };
  }

  /** Makes offers until the slots are full or nobody lacks what may be given. */
  #fill(now: number): void {
    while (this.freeSlots > 0) {
      // Were there one slot, all others would wait for those who say that they do.
      const again = this.#wants.leftTurn;
      if (!again && this.#offerWanted(now)) continue;
      if (this.#ledger.isBacklogged(this.#slots, now)) return;
      if (this.#choice.next(now)) this.#offer(this.#choice, now);
      else if (!again || !this.#offerWanted(now)) return;
    }
  }

  #offerWanted(now: number): boolean {
    if (!this.#wants.next(this.#slots, now)) return false;
    const gift = this.#offer(this.#wants, now);
    if (this.#wants.outOfTurn) this.#ledger.takeOutOfTurn(gift);
    this.#wants.taken();
    return true;
  }

  /** @returns the gift */
  #offer({ blob, peer, piece }: Pick<GiftChoice, 'blob' | 'peer' | 'piece'>, now: number): number {
    const info = this.#peers[peer]!;
    info.down = Math.max(0, info.down - 1);
    this.actions.push(Action.offer, peer, blob, piece, -1);
    return this.#ledger.give(GiftState.offered, peer, blob, piece, now);
  }

  #countSlots(): void {
    const { slots, slotsPerZone } = this.#options;
    const served = this.#zones.reduce((sum, peers) => sum + (peers > 0 ? 1 : 0), 0);
    this.#slots = Math.min(slots + slotsPerZone * Math.max(0, served - 1), this.#mostSlots);
  }
}

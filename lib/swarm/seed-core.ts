import type { Bitfield } from '../core/bitfield.ts';
import type { Rng } from '../runtime/rng.ts';
import { Action, ActionBuffer } from './actions.ts';
import { GiftPace, isSlow, type PeerPace } from './gift-pace.ts';
import { GiftSpread, keepsToItself, type PassingOn } from './gift-spread.ts';
import { GiftState, type GiftStateValue, Gifts, NO_BLOB } from './gifts.ts';
import type { Spread } from './reading-plan.ts';
import { Came, type CameValue, Far, type FarValue, SeedBlob } from './seed-blob.ts';
import { DEFAULT_SEED_CORE_OPTIONS, type SeedCoreOptions } from './seed-core-options.ts';
import { SlotList } from './slots.ts';

/** The supernode's own zone in {@link SeedCore.addPeer}. */
const OWN_ZONE = 0;
const ANY_COUNT = 0xffff;
const NEVER = -1;

interface SeedPeer extends PeerPace, PassingOn {
  readonly zone: number;
  readonly far: FarValue;
  /** Downloads it could start: last told, less what was offered since. */
  down: number;
  /** Slots of ours that it takes. */
  active: number;
  /** Number of the last gift to it: the lowest waited longest. */
  lastGift: number;
  /** When it last got a piece from anywhere (at first: when it first told its slots), milliseconds; or NEVER. */
  gotAt: number;
}

/**
 * Every decision of one supernode: which piece to offer to which neighbour. The least-given piece of a zone goes first,
 * so that the swarm as a whole soon holds everything; ties go in order, so that a node alone gets the blob in order.
 * Pure, as PeerCore, with the same rules for numbers and for `actions` (only `offer` actions come out).
 */
export class SeedCore {
  readonly actions: ActionBuffer;
  readonly #options: SeedCoreOptions;
  readonly #rng: Rng;
  readonly #gifts = new Gifts();
  readonly #pace: GiftPace;
  readonly #spread = new GiftSpread();
  readonly #peerSlots = new SlotList();
  readonly #peers: (SeedPeer | undefined)[] = [];
  readonly #blobSlots = new SlotList();
  readonly #blobs: (SeedBlob | undefined)[] = [];
  /** Zone -> linked peers. */
  readonly #zones: number[] = [];
  #slots: number;
  #mostSlots = Number.POSITIVE_INFINITY;
  #active = 0;
  #giftNumber = 0;

  /** @param actions cores that are called one after the other may share one, read and cleared in between */
  constructor(options: Partial<SeedCoreOptions>, rng: Rng, actions = new ActionBuffer()) {
    this.actions = actions;
    this.#rng = rng;
    this.#options = { ...DEFAULT_SEED_CORE_OPTIONS, ...options };
    this.#slots = this.#options.slots;
    this.#pace = new GiftPace(this.#options.stuckMs);
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
    for (let gift = this.#gifts.end - 1; gift >= 0; gift--) {
      if (this.#gifts.blob[gift] !== slot || this.#gifts.state[gift] === GiftState.free) continue;
      if (this.#gifts.state[gift] === GiftState.sending || this.#gifts.state[gift] === GiftState.arrived) {
        this.#gifts.blob[gift] = NO_BLOB;
      } else {
        this.#become(gift, GiftState.free, 0);
      }
    }
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
    const fresh = { active: 0, lastGift: 0, gotAt: NEVER, slowness: 1, kept: 0, keptAt: 0 };
    this.#peers[peer] = { zone, far, down: 0, ...fresh };
    return peer;
  }

  /** Ends its offers and uploads: do not call `uploaded` for it afterwards. */
  removePeer(peer: number, now: number): void {
    if (this.#peers[peer] === undefined) return;
    for (let gift = this.#gifts.end - 1; gift >= 0; gift--) {
      if (this.#gifts.peer[gift] === peer) this.#takeBack(gift, now);
    }
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
    if (this.#peers[peer] !== undefined) this.#blobs[slot]?.shared.removeSharer(peer);
  }

  peerHas(peer: number, slot: number, piece: number, now: number): void {
    const info = this.#peers[peer];
    const shared = this.#blobs[slot]?.shared;
    const row = shared?.rowOf(peer) ?? -1;
    if (info === undefined || shared === undefined || row < 0 || piece < 0 || piece >= shared.pieces) return;
    shared.setPeerHas(row, piece);
    info.gotAt = now;
    const gift = this.#gifts.find(peer, slot, piece, GiftState.sending, GiftState.sent);
    if (gift >= 0) {
      this.#pace.learn(info, now - this.#gifts.madeAt[gift]!);
      this.#spread.arrived(peer, slot, piece, now, this.#gifts.counted[gift] === 1);
      const sent = this.#gifts.state[gift] === GiftState.sent;
      this.#become(gift, sent ? GiftState.free : GiftState.arrived, now);
    }
  }

  /** The same as {@link peerHas} for one piece after the other. */
  peerHasAll(peer: number, slot: number, pieces: readonly number[], now: number): void {
    for (let i = 0; i < pieces.length; i++) this.peerHas(peer, slot, pieces[i]!, now);
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
    const gift = this.#gifts.find(peer, slot, piece, GiftState.offered);
    if (gift < 0) return;
    this.#ungive(gift);
    this.#become(gift, this.#peers[peer]!.down > 0 ? GiftState.refused : GiftState.free, now);
    this.#fill(now);
  }

  /**
   * The neighbour asks for a piece, offered or not.
   * @returns whether a slot was taken; then call `uploaded` once
   */
  admit(peer: number, slot: number, piece: number, now: number): boolean {
    const info = this.#peers[peer];
    if (info === undefined || !this.has(slot, piece)) return false;
    const offered = this.#gifts.find(peer, slot, piece, GiftState.offered);
    if (offered >= 0) {
      this.#become(offered, GiftState.sending, now);
      return true;
    }
    if (this.freeSlots === 0) return false;
    this.#give(GiftState.sending, peer, info, slot, piece, now);
    return true;
  }

  /** The oldest upload to the peer ended, however it did. */
  uploaded(peer: number, now: number): void {
    const gifts = this.#gifts;
    let oldest = -1;
    for (let gift = 0; gift < gifts.end; gift++) {
      if (gifts.peer[gift] !== peer) continue;
      if (gifts.state[gift] !== GiftState.sending && gifts.state[gift] !== GiftState.arrived) continue;
      if (oldest < 0 || gifts.since[gift]! < gifts.since[oldest]!) oldest = gift;
    }
    if (oldest < 0) return;
    const waits = gifts.state[oldest] === GiftState.sending && gifts.blob[oldest] !== NO_BLOB;
    this.#become(oldest, waits ? GiftState.sent : GiftState.free, now);
    this.#fill(now);
  }

  /** To be called about every 50 ms: ends what waited too long. */
  tick(now: number): void {
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
    this.#lookAtSpread(now);
    this.#fill(now);
  }

  /** What was not passed on counts as not given. */
  #lookAtSpread(now: number): void {
    const view = {
      holders: (slot: number, piece: number) => this.holders(slot, piece),
      sharers: (slot: number) => this.#blobs[slot]?.shared.rows ?? 0,
    };
    this.#spread.look(
      now,
      this.#pace.patienceMs,
      view,
      (peer) => this.#peers[peer],
      (peer, slot, piece) => this.#blobs[slot]?.notGiven(this.#peers[peer]!.zone, piece),
    );
  }

  /** From now on at most so many slots, at least one; gifts under way go on. */
  limitSlots(slots: number, now: number): void {
    this.#mostSlots = slots;
    this.#countSlots();
    this.#fill(now);
  }

  get freeSlots(): number {
    return Math.max(0, this.#slots - this.#active);
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
      let bestPeer = -1;
      let bestBlob = -1;
      let bestPiece = -1;
      const from = this.#rng.int(this.#peers.length);
      for (let i = 0; i < this.#peers.length; i++) {
        const peer = from + i < this.#peers.length ? from + i : from + i - this.#peers.length;
        const info = this.#peers[peer];
        if (info === undefined || info.down <= 0) continue;
        const best = this.#peers[bestPeer];
        if (best !== undefined && !waitsLonger(info, best)) continue;
        // Blobs take turns, so that no layer waits until another one is given out; but what nobody was given goes before.
        let fewest = ANY_COUNT + 1;
        for (let turn = 0; turn < this.#blobs.length && fewest > 0; turn++) {
          const slot = (this.#giftNumber + turn) % this.#blobs.length;
          const piece = this.#pick(peer, info, slot, fewest - 1, now);
          if (piece < 0) continue;
          const alone = keepsToItself(info, now);
          fewest = alone ? 0 : this.#blobs[slot]!.times(info.zone, piece, info.far);
          bestPeer = peer;
          bestBlob = slot;
          bestPiece = piece;
        }
      }
      const info = this.#peers[bestPeer];
      if (info === undefined) return;
      info.down--;
      this.#give(GiftState.offered, bestPeer, info, bestBlob, bestPiece, now);
      this.actions.push(Action.offer, bestPeer, bestBlob, bestPiece, -1);
    }
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
      if (gifts.peer[gift] === peer || this.#mayStillSpread(gift, info.zone, now)) {
        blob.overlook(gifts.piece[gift]!);
      }
    }
    // It has us alone, and its client wants the blob in order.
    if (alone) return blob.first();
    const again = info.zone === OWN_ZONE || now - info.gotAt >= this.#options.stuckMs;
    return blob.leastGiven(info.zone, again ? most : 0, info.far);
  }

  /**
   * A copy for that zone is on its way, so that a second one would only take bandwidth from it and from other pieces;
   * for a while, because that peer may be slow or never pass it on.
   */
  #mayStillSpread(gift: number, zone: number, now: number): boolean {
    if (this.#gifts.state[gift] === GiftState.refused) return false;
    if (now - this.#gifts.madeAt[gift]! >= this.#pace.patienceMs) return false;
    const peer = this.#peers[this.#gifts.peer[gift]!];
    return peer?.zone === zone && !keepsToItself(peer, now);
  }

  #give(state: GiftStateValue, peer: number, info: SeedPeer, slot: number, piece: number, now: number): void {
    const gift = this.#gifts.add(state, peer, slot, piece, now);
    this.#active++;
    info.active++;
    info.lastGift = ++this.#giftNumber;
    if (keepsToItself(info, now)) this.#gifts.counted[gift] = 0;
    else this.#blobs[slot]!.given(info.zone)[piece]!++;
  }

  #countSlots(): void {
    const { slots, slotsPerZone } = this.#options;
    const served = this.#zones.reduce((sum, peers) => sum + (peers > 0 ? 1 : 0), 0);
    this.#slots = Math.min(slots + slotsPerZone * Math.max(0, served - 1), this.#mostSlots);
  }

  /** Changes a gift's state; a slot that it no longer needs is free. */
  #become(gift: number, state: GiftStateValue, now: number): void {
    const took = this.#gifts.takesSlot(gift);
    const info = this.#peers[this.#gifts.peer[gift]!];
    this.#gifts.become(gift, state, now);
    if (!took || state === GiftState.sending || state === GiftState.arrived) return;
    this.#active--;
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

/** Slow ones last; fewer gifts under way first, then who was given something longest ago. */
function waitsLonger(a: SeedPeer, b: SeedPeer): boolean {
  const slow = isSlow(a);
  if (slow !== isSlow(b)) return !slow;
  return a.active < b.active || (a.active === b.active && a.lastGift < b.lastGift);
}

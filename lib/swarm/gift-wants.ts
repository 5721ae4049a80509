import type { GiftLedger } from './gift-ledger.ts';
import { isSlow } from './gift-pace.ts';
import { keepsToItself } from './gift-spread.ts';
import type { SeedBlob } from './seed-blob.ts';
import { NEVER, type SeedPeer } from './seed-peer.ts';

/** All are looked at for each gift; what is told beyond so many is told again a second later. */
const MOST = 256;
/** The same of one peer: more layers than container runtimes read at a time. */
const MOST_OF_PEER = 8;
/** What a client still waits for is told again sooner, milliseconds. */
const FORGOTTEN_MS = 2500;
/** One slot in so many works for gifts out of turn. */
const SLOTS_FOR_ONE = 8;

interface Want {
  readonly peer: number;
  readonly blob: number;
  piece: number;
  at: number;
  /** The peer was sent this very piece before, and never said that it has it. */
  again: boolean;
}

/**
 * The pieces that clients of peers wait for and nobody sends them: one a peer and blob. They were given to others, as a
 * rule, that died or keep them. Peers take turns. What was never given is an ordinary gift, to this peer rather than to
 * another; what was is given out of turn, by few slots: else a crowd that is only slow would have the seed give each of
 * its nodes what they would soon have from each other.
 */
export class GiftWants {
  /** What {@link next} found: numbers of the peer, the blob and the piece. */
  peer = -1;
  blob = -1;
  piece = -1;
  /** Whether giving that is out of turn. */
  outOfTurn = false;
  readonly #peers: readonly (SeedPeer | undefined)[];
  readonly #blobs: readonly (SeedBlob | undefined)[];
  readonly #ledger: GiftLedger;
  #wants: Want[] = [];
  /** Number of the last gift out of turn. */
  #lastOutOfTurn = NEVER;

  /** @param peers by number, as `blobs`: whoever keeps them removes here what ends there */
  constructor(
    peers: readonly (SeedPeer | undefined)[],
    blobs: readonly (SeedBlob | undefined)[],
    ledger: GiftLedger,
  ) {
    this.#peers = peers;
    this.#blobs = blobs;
    this.#ledger = ledger;
  }

  /** Whether the last gift was out of turn: one in turn comes next, if there is any. */
  get leftTurn(): boolean {
    return this.#lastOutOfTurn === this.#ledger.made;
  }

  /** @param again whether the peer was sent the piece before */
  note(peer: number, blob: number, piece: number, again: boolean, now: number): void {
    let itsOwn = 0;
    for (const want of this.#wants) {
      if (want.peer !== peer) continue;
      itsOwn++;
      if (want.blob !== blob) continue;
      want.again = again || (want.again && want.piece === piece);
      want.piece = piece;
      want.at = now;
      return;
    }
    if (itsOwn >= MOST_OF_PEER || this.#wants.length >= MOST) return;
    this.#wants.push({ peer, blob, piece, at: now, again });
  }

  /** The peer holds the piece. */
  arrived(peer: number, blob: number, piece: number): void {
    if (this.#wants.length === 0) return;
    this.#keepOnly((want) => want.peer !== peer || want.blob !== blob || want.piece !== piece);
  }

  /** The peer shares the blob no more. */
  remove(peer: number, blob: number): void {
    this.#keepOnly((want) => want.peer !== peer || want.blob !== blob);
  }

  removePeer(peer: number): void {
    this.#keepOnly((want) => want.peer !== peer);
  }

  removeBlob(blob: number): void {
    this.#keepOnly((want) => want.blob !== blob);
  }

  /** Forgets what was not told again. */
  expire(now: number): void {
    if (this.#wants.length > 0) this.#keepOnly(({ at }) => now - at < FORGOTTEN_MS);
  }

  /**
   * Of the wanted pieces that may be given now, that of the peer whose turn it is.
   * @param slots those of the seed
   * @returns false when there is none
   */
  next(slots: number, now: number): boolean {
    this.peer = -1;
    const mayLeaveTurn = this.#ledger.outOfTurn < Math.max(1, Math.floor(slots / SLOTS_FOR_ONE));
    let longest = Number.POSITIVE_INFINITY;
    for (const want of this.#wants) {
      const info = this.#peers[want.peer]!;
      if (info.lastWant >= longest) continue;
      const outOfTurn = this.#isOutOfTurn(want, info, now);
      if ((outOfTurn && !mayLeaveTurn) || !this.#mayGive(want, info, now)) continue;
      longest = info.lastWant;
      this.peer = want.peer;
      this.blob = want.blob;
      this.piece = want.piece;
      this.outOfTurn = outOfTurn;
    }
    return this.peer >= 0;
  }

  /** What {@link next} found has just been given: it is wanted no more, unless that is told again. */
  taken(): void {
    this.#peers[this.peer]!.lastWant = this.#ledger.made;
    if (this.outOfTurn) this.#lastOutOfTurn = this.#ledger.made;
    this.remove(this.peer, this.blob);
  }

  #mayGive({ blob, peer, piece }: Want, { zone }: SeedPeer, now: number): boolean {
    if (this.#blobs[blob]?.shared.has(piece) !== true) return false;
    return !this.#ledger.isOnItsWay(peer, blob, piece) && !this.#ledger.maySpread(zone, blob, piece, now);
  }

  /** Others would be given something first. */
  #isOutOfTurn({ again, blob, piece }: Want, info: SeedPeer, now: number): boolean {
    // Whoever only says that it waits would have all slots.
    if (again || info.active > 0) return true;
    if (this.#blobs[blob]!.times(info.zone, piece, info.far) > 0) return true;
    // What is given to it does not spread, or not soon.
    return isSlow(info) || keepsToItself(info, now);
  }

  #keepOnly(wanted: (want: Want) => boolean): void {
    this.#wants = this.#wants.filter(wanted);
  }
}

import { Far, type FarValue } from './seed-blob.ts';

/** A gift that nobody else has after so long, milliseconds, was not passed on, if it is not known how long that takes here. */
const SPREAD_MS = 2000;
/** Nor is it taken for that sooner, however fast others are. */
const LEAST_SPREAD_MS = 200;
// What RFC 6298 waits for before it sends again, and for the same reason: the mean, and four times how far off it is.
const MEAN_SHARE = 1 / 8;
const DEVIATION_SHARE = 1 / 4;
const DEVIATIONS = 4;
/** So many gifts that were not passed on, none in between that was, are no accident. */
const ENOUGH = 3;
/** For so long a peer is taken for one that passes nothing on; then it may have changed. */
const REMEMBERED_MS = 30_000;

/** How a peer treats what it is given. Times in milliseconds. */
export interface PassingOn {
  readonly far: FarValue;
  /** Gifts that it kept to itself since one was passed on. */
  kept: number;
  /** When the last of them was seen to be. */
  keptAt: number;
}

/** What the seed knows of its peers, and is told of them. */
export interface SpreadHost {
  /** Linked peers that hold the piece. */
  holders(blob: number, piece: number): number;
  /** Linked peers that share the blob. */
  sharers(blob: number): number;
  /** How the peer of that number has passed on what it was given. */
  passing(peer: number): PassingOn | undefined;
  /** Nobody has it from the peer: told once of a gift that counts as given. */
  kept(peer: number, blob: number, piece: number): void;
}

/**
 * Whether peers pass on what a seed gives them. A seed gives each piece once and leaves the rest to the swarm; one that
 * sends wrong bytes and was banned by all others, or whose way to them is cut, would so keep its pieces from everybody.
 */
export class GiftSpread {
  readonly #host: SpreadHost;
  /** Blob -> piece -> our gifts of it that arrived. */
  readonly #arrived: (Uint16Array | undefined)[] = [];
  // Gifts that arrived a moment ago, the oldest first.
  #peer: number[] = [];
  #blob: number[] = [];
  #piece: number[] = [];
  #at: number[] = [];
  #counted: boolean[] = [];
  /** How long gifts took to be passed on, and how far from that they were, milliseconds. */
  #meanMs: number | undefined;
  #deviationMs = 0;
  /** Doubled with each gift that was not waited for, as RFC 6298 does: else what takes longer than usual is never learned. */
  #backOff = 1;

  constructor(host: SpreadHost) {
    this.#host = host;
  }

  addBlob(blob: number, pieces: number): void {
    this.#arrived[blob] = new Uint16Array(pieces);
  }

  removeBlob(blob: number): void {
    this.#arrived[blob] = undefined;
    this.#keepOnly((gift) => this.#blob[gift] !== blob);
  }

  /** All pieces of the blob are gone, here and at the peers. */
  lost(blob: number): void {
    this.#arrived[blob]?.fill(0);
    this.#keepOnly((gift) => this.#blob[gift] !== blob);
  }

  removePeer(peer: number): void {
    this.#keepOnly((gift) => this.#peer[gift] !== peer);
  }

  /** The peer says that it holds the piece that we gave to it. @param counted whether that counts as given */
  arrived(peer: number, blob: number, piece: number, now: number, counted: boolean): void {
    const times = this.#arrived[blob];
    if (times === undefined) return;
    times[piece]!++;
    this.#peer.push(peer);
    this.#blob.push(blob);
    this.#piece.push(piece);
    this.#at.push(now);
    this.#counted.push(counted);
  }

  /**
   * To be called about every 50 ms.
   * @param patienceMs gifts on this line take so long that it may take longer
   */
  look(now: number, patienceMs: number): void {
    const mostMs = Math.max(SPREAD_MS, SPREAD_MS * (patienceMs / 1000));
    const ownMs = Math.min(this.#usualMs(), mostMs);
    let end = 0;
    // Without a function for each look: V8 would compile each of them.
    for (let gift = 0; gift < this.#at.length; gift++) {
      if (this.#isOpen(gift, now, ownMs, mostMs)) this.#move(gift, end++);
    }
    this.#cut(end);
  }

  /**
   * Whether it may still be passed on; else what became of it is noted. A gift to another zone is given all the time there
   * is: some take much longer than usual, and a second one would cross the border again.
   */
  #isOpen(gift: number, now: number, ownMs: number, mostMs: number): boolean {
    const host = this.#host;
    const peer = this.#peer[gift]!;
    const blob = this.#blob[gift]!;
    const piece = this.#piece[gift]!;
    const info = host.passing(peer);
    const given = this.#arrived[blob]?.[piece] ?? 0;
    const holders = host.holders(blob, piece);
    if (info === undefined) return false;
    if (holders > given) {
      // Of several who were given it any may have passed it on.
      if (given === 1) {
        info.kept = 0;
        if (info.far === Far.own) this.#learn(now - this.#at[gift]!);
      }
      return false;
    }
    if (now - this.#at[gift]! < (info.far === Far.own ? ownMs : mostMs)) return true;
    if (host.sharers(blob) > holders) {
      info.kept++;
      info.keptAt = now;
      this.#backOff *= 2;
      if (this.#counted[gift] === true) host.kept(peer, blob, piece);
    }
    return false;
  }

  /** How long it takes in our own zone, as far as is known. */
  #usualMs(): number {
    if (this.#meanMs === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(this.#meanMs + DEVIATIONS * this.#deviationMs, LEAST_SPREAD_MS) * this.#backOff;
  }

  #learn(tookMs: number): void {
    this.#backOff = 1;
    const offMs = this.#meanMs === undefined ? tookMs / 2 : Math.abs(tookMs - this.#meanMs);
    this.#deviationMs =
      this.#meanMs === undefined ? offMs : this.#deviationMs + (offMs - this.#deviationMs) * DEVIATION_SHARE;
    this.#meanMs = this.#meanMs === undefined ? tookMs : this.#meanMs + (tookMs - this.#meanMs) * MEAN_SHARE;
  }

  #keepOnly(wanted: (gift: number) => boolean): void {
    let end = 0;
    for (let gift = 0; gift < this.#at.length; gift++) if (wanted(gift)) this.#move(gift, end++);
    this.#cut(end);
  }

  #move(gift: number, to: number): void {
    this.#peer[to] = this.#peer[gift]!;
    this.#blob[to] = this.#blob[gift]!;
    this.#piece[to] = this.#piece[gift]!;
    this.#at[to] = this.#at[gift]!;
    this.#counted[to] = this.#counted[gift]!;
  }

  #cut(end: number): void {
    this.#peer.length = end;
    this.#blob.length = end;
    this.#piece.length = end;
    this.#at.length = end;
    this.#counted.length = end;
  }
}

/** What it is given stays with it, and does not count as given; nor does it get anything from others, as a rule. */
export function keepsToItself({ kept, keptAt }: PassingOn, now: number): boolean {
  return kept >= ENOUGH && now - keptAt < REMEMBERED_MS;
}

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
  /** Gifts that it kept to itself since one was passed on. */
  kept: number;
  /** When the last of them was seen to be. */
  keptAt: number;
}

/** What the seed knows of its peers. */
export interface SpreadView {
  /** Linked peers that hold the piece. */
  holders(blob: number, piece: number): number;
  /** Linked peers that share the blob. */
  sharers(blob: number): number;
}

/**
 * Whether peers pass on what a seed gives them. A seed gives each piece once and leaves the rest to the swarm; one that
 * sends wrong bytes and was banned by all others, or whose way to them is cut, would so keep its pieces from everybody.
 */
export class GiftSpread {
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
   * @param passing of a peer by its number
   * @param kept nobody has it from the peer: told once of a gift that counts as given
   */
  look(
    now: number,
    patienceMs: number,
    view: SpreadView,
    passing: (peer: number) => PassingOn | undefined,
    kept: (peer: number, blob: number, piece: number) => void,
  ): void {
    const waitMs = this.#waitMs(patienceMs);
    this.#keepOnly((gift) => {
      const peer = this.#peer[gift]!;
      const blob = this.#blob[gift]!;
      const piece = this.#piece[gift]!;
      const info = passing(peer);
      const given = this.#arrived[blob]?.[piece] ?? 0;
      const holders = view.holders(blob, piece);
      if (info === undefined) return false;
      if (holders > given) {
        // Of several who were given it any may have passed it on.
        if (given === 1) {
          info.kept = 0;
          this.#learn(now - this.#at[gift]!);
        }
        return false;
      }
      if (now - this.#at[gift]! < waitMs) return true;
      if (view.sharers(blob) > holders) {
        info.kept++;
        info.keptAt = now;
        if (this.#counted[gift] === true) kept(peer, blob, piece);
      }
      return false;
    });
  }

  #waitMs(patienceMs: number): number {
    const mostMs = Math.max(SPREAD_MS, SPREAD_MS * (patienceMs / 1000));
    if (this.#meanMs === undefined) return mostMs;
    const usualMs = this.#meanMs + DEVIATIONS * this.#deviationMs;
    return Math.min(Math.max(usualMs, LEAST_SPREAD_MS), mostMs);
  }

  #learn(tookMs: number): void {
    const offMs = this.#meanMs === undefined ? tookMs / 2 : Math.abs(tookMs - this.#meanMs);
    this.#deviationMs =
      this.#meanMs === undefined ? offMs : this.#deviationMs + (offMs - this.#deviationMs) * DEVIATION_SHARE;
    this.#meanMs = this.#meanMs === undefined ? tookMs : this.#meanMs + (tookMs - this.#meanMs) * MEAN_SHARE;
  }

  #keepOnly(wanted: (gift: number) => boolean): void {
    let end = 0;
    for (let gift = 0; gift < this.#at.length; gift++) {
      if (!wanted(gift)) continue;
      this.#peer[end] = this.#peer[gift]!;
      this.#blob[end] = this.#blob[gift]!;
      this.#piece[end] = this.#piece[gift]!;
      this.#at[end] = this.#at[gift]!;
      this.#counted[end] = this.#counted[gift]!;
      end++;
    }
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

/** How the nodes that are linked to a supernode stand with one blob. */
export interface Spread {
  /** Nodes that share it. */
  readonly sharers: number;
  /** Those of them that lack something. */
  readonly lackers: number;
  /** Pieces that they hold, each as often as it is held. */
  readonly copies: number;
}

/** What a supernode knows of one blob. */
export interface ReadingView {
  readonly pieces: number;
  /** Whether we hold the piece. */
  has(piece: number): boolean;
  /** Whether it is ours to read, not another owner's. */
  mine(piece: number): boolean;
  /** Linked nodes that say they hold it. */
  holders(piece: number): number;
  /** Other supernodes that say so. */
  owners(piece: number): number;
  /** Whether another site waits for it from us: what nodes of ours hold does not get there. */
  awaited(piece: number): boolean;
  spread(): Spread;
}

/** Pieces to read in one go: `first` and those before `end`. Some in between may be held somewhere already. */
export interface Run {
  readonly first: number;
  readonly end: number;
  /** Also what nodes hold is read, because they do not pass it on. */
  readonly stuck: boolean;
}

/** When nodes hold pieces already, they have so long to say which before the first run is chosen, milliseconds. */
export const LISTEN_MS = 200;
/** When next to no copies have been made for so long, milliseconds, nodes do not get from each other what they lack. */
const STUCK_MS = 10_000;
/** Pieces that each node that lacks some gets in that time, if they get along at all. */
const FEW_PIECES = 4;

/**
 * Which pieces of a blob a supernode reads from the registry: those of its own stripes that nobody holds who gives them
 * to those that wait. Of a fresh blob without other owners that is all, in one run. When the supernode takes over from
 * another one, nodes pass on among themselves what they hold; it is read only when nobody holds it any more, or when
 * another site waits for it. When nothing moves although somebody lacks a piece, it is read whosever it is.
 */
export class ReadingPlan {
  readonly #view: ReadingView;
  readonly #shortGap: number;
  #movedAt: number;
  /** Copies when they last moved. */
  #copies: number;

  /** @param shortGap so many pieces that need not be read are read too, rather than begin another run behind them */
  constructor(view: ReadingView, shortGap: number, now: number) {
    this.#view = view;
    this.#shortGap = shortGap;
    this.#movedAt = now;
    this.#copies = view.spread().copies;
  }

  /** The next run, to be asked for when the last one has ended. @returns undefined when there is nothing to read now */
  next(now: number): Run | undefined {
    return this.#runOf(false) ?? (this.#isStuck(now) ? this.#runOf(true) : undefined);
  }

  /** Whether the run is worth going on with from this piece: by now others may hold what comes. */
  goesOn(run: Run, piece: number): boolean {
    const end = Math.min(run.end, piece + this.#shortGap + 1);
    return this.#firstWanted(piece, end, run.stuck) < end;
  }

  #runOf(stuck: boolean): Run | undefined {
    const { pieces } = this.#view;
    const first = this.#firstWanted(0, pieces, stuck);
    if (first === pieces) return undefined;
    let end = first + 1;
    for (;;) {
      const limit = Math.min(pieces, end + this.#shortGap + 1);
      const next = this.#firstWanted(end, limit, stuck);
      if (next === limit) return { first, end, stuck };
      end = next + 1;
    }
  }

  /** The first such piece of those before `end`, or `end`. */
  #firstWanted(from: number, end: number, stuck: boolean): number {
    const most = stuck ? this.#view.spread().sharers - 1 : 0;
    for (let piece = from; piece < end; piece++) {
      if (this.#view.has(piece)) continue;
      const mine = this.#view.mine(piece);
      if ((stuck || mine) && this.#holders(piece, mine) <= most) return piece;
    }
    return end;
  }

  /** Those who give the piece to whoever waits for it: another site waits for us only when it is ours to read. */
  #holders(piece: number, mine: boolean): number {
    const owners = this.#view.owners(piece);
    return mine && owners === 0 && this.#view.awaited(piece) ? 0 : owners + this.#view.holders(piece);
  }

  #isStuck(now: number): boolean {
    const { copies, lackers } = this.#view.spread();
    // Who leaves takes copies away, which is no movement either.
    this.#copies = Math.min(this.#copies, copies);
    if (lackers === 0 || copies >= this.#copies + FEW_PIECES * lackers) {
      this.#copies = copies;
      this.#movedAt = now;
    }
    return now - this.#movedAt >= STUCK_MS;
  }
}

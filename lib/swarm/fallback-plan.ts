import { hash53 } from '../core/rendezvous.ts';
import { MAX_STRIPES } from '../wire/control-messages.ts';
import { firstMissing, type ReadBlob } from './awaited-piece.ts';
import { stripeOf } from './stripes.ts';

/** Pieces in one registry read: few while others read too (they share what they read), many when alone. */
const RUN_PIECES = 8;
const RUN_PIECES_ALONE = 32;
/** What a client needs next, when one piece has not helped: so much that it does not come back for every piece. */
const WINDOW_PIECES = 4;

/** Pieces that follow one another; those that are to be read are reserved in the core. */
export interface FallbackRun {
  readonly first: number;
  readonly last: number;
}

/** A blob as the plan needs to know it. */
export interface LackedBlob extends ReadBlob {
  readonly digest: string;
  /** Clients that wait for it. */
  readonly readers: number;
}

export interface FallbackPlanHost<Blob extends LackedBlob> {
  selfId(): string;
  reserve(blob: Blob, piece: number): boolean;
  /** Peers that were asked for the piece and have sent nothing of it do not keep it from being reserved. */
  letGo(blob: Blob, piece: number): void;
  holders(blob: Blob, piece: number): number;
  sharers(blob: Blob): readonly unknown[];
}

/** Which pieces a node reads from the registry when the swarm does not deliver. */
export class FallbackPlan<Blob extends LackedBlob> {
  readonly #host: FallbackPlanHost<Blob>;

  constructor(host: FallbackPlanHost<Blob>) {
    this.#host = host;
  }

  /**
   * Stripes worth reading: the one that the client waits in first, then those of which no neighbour holds some piece.
   * Nodes begin at different ones, so that few ask for the same.
   * @param aside what others should bring counts too, and only where the client stands
   */
  stripes(blob: Blob, aside: boolean): number[] {
    const { info } = blob;
    const next = firstMissing(blob);
    if (next === undefined) return [];
    const here = stripeOf(info, next);
    if (aside) return [here];
    const missing = new Set<number>();
    for (let piece = 0; piece < info.pieces; piece++) {
      if (this.#isNowhere(blob, piece)) missing.add(stripeOf(info, piece));
    }
    const from = Math.floor(this.#share(blob) * (stripeOf(info, info.pieces - 1) + 1));
    const first = missing.delete(here) ? [here] : [];
    const rest = [...missing];
    const after = rest.filter((stripe) => stripe >= from);
    const before = rest.filter((stripe) => stripe < from);
    return [...first, ...after, ...before].slice(0, MAX_STRIPES);
  }

  /** The next pieces of the stripe that nobody holds. */
  nextRun(blob: Blob, stripe: number): FallbackRun | undefined {
    const { info } = blob;
    const alone = this.#host.sharers(blob).length === 0 && blob.readers > 0;
    const most = alone ? RUN_PIECES_ALONE : RUN_PIECES;
    for (let piece = 0; piece < info.pieces; piece++) {
      if (stripeOf(info, piece) !== stripe) continue;
      const run = this.#reserve(blob, piece, most, (each) => this.#isNowhere(blob, each));
      if (run !== undefined) return run;
    }
    return undefined;
  }

  /**
   * What the client needs next, whoever holds the first piece of it, and also when one that sends nothing was asked for
   * it: there would always be another to ask.
   * @param first at first one piece: the swarm may go on meanwhile
   */
  window(blob: Blob, first: boolean): FallbackRun | undefined {
    const next = firstMissing(blob);
    if (next === undefined) return undefined;
    const end = Math.min(blob.info.pieces, next + WINDOW_PIECES);
    this.#host.letGo(blob, next);
    for (let piece = next; piece < end; piece++) {
      const run = this.#reserve(
        blob,
        piece,
        first ? 1 : WINDOW_PIECES,
        (each) => each === next || this.#isNowhere(blob, each),
      );
      if (run !== undefined) return run;
    }
    return undefined;
  }

  /** What the client needs next, and much of it: nobody gives us any, whoever holds it. */
  ahead(blob: Blob): FallbackRun | undefined {
    const next = firstMissing(blob);
    return next === undefined ? undefined : this.#reserve(blob, next, RUN_PIECES_ALONE, () => true);
  }

  /**
   * All that is left of a blob of which the registry sends no parts: from its beginning, since that is sent in any case.
   * @param all also what others hold
   */
  rest(blob: Blob, all: boolean): FallbackRun | undefined {
    const { have } = blob.stored;
    let last = -1;
    for (let piece = 0; piece < blob.info.pieces; piece++) {
      const wanted = all ? !have.has(piece) : this.#isNowhere(blob, piece);
      if (wanted && this.#host.reserve(blob, piece)) last = piece;
    }
    return last === -1 ? undefined : { first: 0, last };
  }

  /** From this piece on for as long as pieces of its stripe are wanted. */
  #reserve(
    blob: Blob,
    first: number,
    most: number,
    wanted: (piece: number) => boolean,
  ): FallbackRun | undefined {
    const { info } = blob;
    const stripe = stripeOf(info, first);
    let end = first;
    while (
      end < info.pieces &&
      end - first < most &&
      stripeOf(info, end) === stripe &&
      !blob.stored.have.has(end) &&
      wanted(end) &&
      this.#host.reserve(blob, end)
    ) {
      end++;
    }
    return end === first ? undefined : { first, last: end - 1 };
  }

  #isNowhere(blob: Blob, piece: number): boolean {
    return !blob.stored.have.has(piece) && this.#host.holders(blob, piece) === 0;
  }

  #share(blob: Blob): number {
    return hash53(`${this.#host.selfId()}\n${blob.digest}\nstart`) / 2 ** 53;
  }
}

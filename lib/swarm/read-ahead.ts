/** So much of all blobs that it reads a supernode may hold alone, bytes: when it dies that is read once more. */
const AHEAD_BYTES = 8 * 1024 * 1024;
/** The same of large pieces, of which so many are on their way to nodes at once. */
const AHEAD_PIECES = 12;
/** Of one blob at least, however many others are read. */
const FEW_PIECES = 4;
/** Where nodes take more than that in so long, milliseconds, that much: else a fast line would wait for the registry. */
const AHEAD_MS = 1000;
/** When nodes take nothing for so long, milliseconds, it is read on: who comes next may. */
const STILL_MS = 10_000;
/** How often it is found out how fast nodes take, milliseconds. */
const SAMPLE_MS = 250;

/**
 * How far a supernode reads a blob ahead of the nodes that it gives it to. What it has read and nobody else holds is lost
 * with it; and a registry is mostly faster than its line to the nodes.
 */
export class ReadAhead {
  readonly #pieceBytes: number;
  readonly #holders: (piece: number) => number;
  /** Pieces that we read and nobody else has held since. */
  readonly #alone: number[] = [];
  #taken = 0;
  #takenAtSample = 0;
  #sampledAt: number;
  #perSecond = 0;
  /** What may be read beyond the usual, because nobody takes anything. */
  #extra = 0;
  /** Since when nothing was taken while we waited for that; undefined: we do not wait. */
  #stillSince: number | undefined;
  /** Pieces of the last request. */
  #asked = 0;
  /** Whether we have waited for nodes since the last request. */
  #waited = false;

  /** @param holders how many others hold a piece */
  constructor(pieceBytes: number, holders: (piece: number) => number, now: number) {
    this.#pieceBytes = pieceBytes;
    this.#holders = holders;
    this.#sampledAt = now;
  }

  /** We have read the piece. */
  landed(piece: number): void {
    this.#alone.push(piece);
  }

  /**
   * Whether the next piece may be read now.
   * @param readings blobs that are read now, this one included
   */
  mayRead(now: number, readings: number): boolean {
    const taken = this.#look(now);
    const usual = this.#usual(readings);
    if (this.#alone.length < usual) this.#extra = 0;
    if (this.#alone.length < usual + this.#extra) {
      this.#stillSince = undefined;
      return true;
    }
    this.#waited = true;
    if (taken || this.#stillSince === undefined) this.#stillSince = now;
    if (now - this.#stillSince < STILL_MS) return false;
    this.#extra = this.#alone.length;
    this.#stillSince = undefined;
    return true;
  }

  /**
   * How many pieces the next request to the registry is for. What it sends while we wait for nodes fills buffers, and goes
   * with us when we die: little of it where the registry is the faster one, twice as much each time where it is not.
   * @param readings as above
   */
  nextRequest(readings: number): number {
    const usual = this.#usual(readings);
    if (this.#asked === 0) this.#asked = usual;
    else this.#asked = this.#waited ? Math.max(FEW_PIECES, usual / 2) : this.#asked * 2;
    this.#waited = false;
    return Math.ceil(this.#asked);
  }

  /** Pieces that we may hold alone. */
  #usual(readings: number): number {
    const all = Math.max(AHEAD_BYTES / this.#pieceBytes, AHEAD_PIECES);
    return Math.max(all / Math.max(1, readings), FEW_PIECES, (this.#perSecond * AHEAD_MS) / 1000);
  }

  /** @returns whether somebody has taken something */
  #look(now: number): boolean {
    let end = 0;
    for (const piece of this.#alone) if (this.#holders(piece) === 0) this.#alone[end++] = piece;
    const taken = this.#alone.length - end;
    this.#alone.length = end;
    this.#taken += taken;
    const sinceMs = now - this.#sampledAt;
    if (sinceMs >= SAMPLE_MS) {
      const perSecond = ((this.#taken - this.#takenAtSample) * 1000) / sinceMs;
      this.#perSecond = (this.#perSecond + perSecond) / 2;
      this.#sampledAt = now;
      this.#takenAtSample = this.#taken;
    }
    return taken > 0;
  }
}

/**
 * Pieces on their way into a gateway at a time: with fewer, a border is idle between two of them; with more, each takes
 * longer until it can be passed on, and some borders fill before others. Six beat four, eight and twelve with 16 sites of 30
 * nodes and three gateways each (`npm run bench:sim`).
 */
const IMPORTS = 6;
/** And from one supernode. */
export const IMPORTS_PER_SOURCE = 4;

/** What a gateway knows of one blob. `S` is a supernode that it is linked to. */
export interface ImportView<S> {
  readonly pieces: number;
  /** Whether the piece is ours to bring into the site, and not here. */
  lacks(piece: number): boolean;
  /** One that holds the piece, of those that may be asked; the nearest first. */
  holder(piece: number, mayAsk: (source: S) => boolean): S | undefined;
}

/**
 * Which pieces a gateway brings into its site next, and of whom it asks them: each once, a few at a time, and of each
 * source in order.
 */
export class ImportPlan<S> {
  readonly #view: ImportView<S>;
  /** Pieces on their way -> from whom. */
  readonly #underWay = new Map<number, S>();
  readonly #asked = new Map<S, number>();
  /** Where to look for the next source: each has its turn. */
  #from: number;

  /** @param from where to begin, another place for each gateway: they would all ask the same one first */
  constructor(view: ImportView<S>, from: number) {
    this.#view = view;
    this.#from = from;
  }

  /** The next one to ask for; tell `ended` when it is here or failed. @returns undefined when there is none now */
  next(): { readonly piece: number; readonly source: S } | undefined {
    if (this.#underWay.size >= IMPORTS) return undefined;
    const { pieces } = this.#view;
    const mayAsk = (source: S): boolean => (this.#asked.get(source) ?? 0) < IMPORTS_PER_SOURCE;
    for (let step = 0; step < pieces; step++) {
      const at = (this.#from + step) % pieces;
      const source = this.#sourceOf(at, mayAsk);
      if (source === undefined) continue;
      this.#from = at + 1;
      const piece = this.#firstOf(source, at);
      this.#underWay.set(piece, source);
      this.#asked.set(source, (this.#asked.get(source) ?? 0) + 1);
      return { piece, source };
    }
    return undefined;
  }

  ended(piece: number): void {
    const source = this.#underWay.get(piece);
    if (source === undefined) return;
    this.#underWay.delete(piece);
    const left = this.#asked.get(source)! - 1;
    if (left === 0) this.#asked.delete(source);
    else this.#asked.set(source, left);
  }

  /** The first piece that it can be asked for: clients wait for pieces in order. @param last it can for this one */
  #firstOf(source: S, last: number): number {
    for (let piece = 0; piece < last; piece++) {
      if (this.#sourceOf(piece, (each) => each === source) !== undefined) return piece;
    }
    return last;
  }

  /** Whom to ask for the piece now, if it is to be asked for. */
  #sourceOf(piece: number, mayAsk: (source: S) => boolean): S | undefined {
    if (this.#underWay.has(piece) || !this.#view.lacks(piece)) return undefined;
    return this.#view.holder(piece, mayAsk);
  }
}

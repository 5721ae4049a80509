import { BoundedMap } from '../core/bounded-map.ts';
import type { PieceEvent, TraceEvent, TraceLine, Waited } from './trace.ts';
import { Readers, type Stretch, stretchesOf } from './where-time-went.ts';

/** Pieces that a wait may be about; and waits whose piece is still being written, at most. */
const MAX_PIECES = 512;
const MAX_WAITS = 512;

type Line<T> = T & { readonly atMs: number };

/** What clients waited for lately, from events as they come. */
export class WaitBook {
  readonly #pieces = new BoundedMap<Line<PieceEvent>>(MAX_PIECES);
  #readers = new Readers();
  #waits: Line<Waited>[] = [];
  /** Those before had no piece yet: it is not waited for again. */
  #late: Line<Waited>[] = [];

  note(atMs: number, event: TraceEvent): void {
    const line: TraceLine = { ...event, atMs };
    if (line.kind === 'piece') {
      this.#pieces.set(keyOf(line), line);
      this.#readers.note(line);
    } else if (line.kind === 'waited' && this.#waits.length < MAX_WAITS) this.#waits.push(line);
  }

  /** What was waited for since the last call: the longest first, one for each cause and whom it was about. */
  take(): Stretch[] {
    const known = (wait: Line<Waited>): boolean => this.#pieces.get(keyOf(wait)) !== undefined;
    const told = [...this.#late, ...this.#waits.filter(known)];
    this.#late = this.#waits.filter((wait) => !known(wait));
    this.#waits = [];
    const sums = new Map<string, Stretch>();
    for (const wait of told) {
      const piece = this.#pieces.get(keyOf(wait));
      for (const stretch of stretchesOf(wait, wait.atMs, piece, false, this.#readers.of(piece))) {
        const key = `${stretch.cause} ${stretch.on ?? ''}`;
        sums.set(key, { ...stretch, ms: stretch.ms + (sums.get(key)?.ms ?? 0) });
      }
    }
    this.#readers = new Readers();
    return [...sums.values()].sort((a, b) => b.ms - a.ms);
  }
}

function keyOf({ digest, index }: { readonly digest: string; readonly index: number }): string {
  return `${digest} ${index}`;
}

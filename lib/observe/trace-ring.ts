import { BoundedMap } from '../core/bounded-map.ts';
import type { TraceEvent, TraceLine } from './trace.ts';

/** About 200 bytes each: the last 30 GiB in pieces of 1 MiB, or 100 GiB of large blobs. */
const MAX_EVENTS = 32_768;
/** Links that are up, and those that were lately. */
const MAX_PEERS = 1024;

type LinkUp = Extract<TraceLine, { readonly kind: 'link-up' }>;

/** The last events of a process; older ones make room. Who the peers are is remembered for longer. */
export class TraceRing {
  readonly #max: number;
  readonly #lines: TraceLine[] = [];
  readonly #peers = new BoundedMap<LinkUp>(MAX_PEERS);
  #next = 0;
  #lost = 0;

  /** @param options.events how many are kept. @default 32,768 */
  constructor({ events = MAX_EVENTS }: { readonly events?: number } = {}) {
    this.#max = events;
  }

  note(atMs: number, event: TraceEvent): void {
    const line: TraceLine = { ...event, atMs };
    if (line.kind === 'link-up') this.#peers.set(line.peer, line);
    if (this.#lines.length === this.#max) this.#lost++;
    this.#lines[this.#next] = line;
    this.#next = (this.#next + 1) % this.#max;
  }

  /** Events that are gone. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * The oldest first.
   * @param digests only events of these blobs, and before them who the peers are that they name. @default all
   */
  read(digests?: ReadonlySet<string>): TraceLine[] {
    const all = [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)];
    const lines = this.#lines.length < this.#max ? this.#lines.slice() : all;
    if (digests === undefined) return lines;
    const wanted = lines.filter((line) => 'digest' in line && digests.has(line.digest));
    const named = new Set(wanted.flatMap((line) => ('from' in line && line.from ? [line.from] : [])));
    return [...[...named].flatMap((peer) => this.#peers.get(peer) ?? []), ...wanted];
  }
}

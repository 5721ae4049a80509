import { BoundedMap } from '../lib/core/bounded-map.ts';

/** A firewall may change; a member that has said so once says it again when it meets the same wall. */
const REMEMBERED_MS = 10 * 60_000;
const MAX_REMEMBERED = 10_000;
/** When so many could not, it cannot be dialled, whoever has since. */
const MAX_WITNESSES = 64;

interface Entry {
  readonly untilMs: number;
  /** Ids of those that could not dial it. */
  readonly by: Set<string>;
}

/** Members that others could not dial, as those have said lately, and have not dialled since. */
export class Undialled {
  readonly #entries = new BoundedMap<Entry>(MAX_REMEMBERED);

  note(id: string, by: string, nowMs: number): void {
    const witnesses = this.has(id, nowMs) ? this.#entries.get(id)?.by : undefined;
    const all = witnesses ?? new Set<string>();
    if (all.size < MAX_WITNESSES) all.add(by);
    this.#entries.set(id, { untilMs: nowMs + REMEMBERED_MS, by: all });
  }

  /** That member has dialled it after all. */
  noteDialled(id: string, by: string): void {
    const witnesses = this.#entries.get(id)?.by;
    if (witnesses === undefined || witnesses.size >= MAX_WITNESSES) return;
    if (witnesses.delete(by) && witnesses.size === 0) this.#entries.delete(id);
  }

  has(id: string, nowMs: number): boolean {
    return (this.#entries.get(id)?.untilMs ?? Number.NEGATIVE_INFINITY) > nowMs;
  }
}

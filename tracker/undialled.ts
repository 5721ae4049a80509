import { BoundedMap } from '../lib/core/bounded-map.ts';

/** A firewall may change; a member that has said so once says it again when it meets the same wall. */
const REMEMBERED_MS = 10 * 60_000;
const MAX_REMEMBERED = 10_000;

/** Members that others could not dial, as those have said lately. */
export class Undialled {
  /** Id -> until when it counts. */
  readonly #untilMs = new BoundedMap<number>(MAX_REMEMBERED);

  note(id: string, nowMs: number): void {
    this.#untilMs.set(id, nowMs + REMEMBERED_MS);
  }

  has(id: string, nowMs: number): boolean {
    return (this.#untilMs.get(id) ?? Number.NEGATIVE_INFINITY) > nowMs;
  }
}

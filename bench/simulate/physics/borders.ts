import type { ZoneLinks } from './fluid-links.ts';

/** Up to so many flows share the rate of a border exactly. */
const EXACT_FLOWS = 100;
/** With more of them a share may be so much too small, never too large. */
const TOLERANCE = 0.01;

/**
 * What zones let out and in, shared equally by the flows that cross. Thousands of flows may cross one border, and each
 * that begins or ends would change the rates of all others. So beyond {@link EXACT_FLOWS} flows the rate is shared as
 * if there were up to 1 % more of them, and shares change only when that is not so any more.
 *
 * A crossing is a number for a pair of zones, 0 for flows that cross nothing.
 */
export class Borders {
  readonly #of: Int32Array;
  readonly #rate: number;
  readonly #zones: number;
  /** Border -> flows: zone z lets out at border 2z and in at border 2z + 1. */
  readonly #count: Int32Array;
  /** Border -> among how many its rate is shared. */
  readonly #among: Int32Array;
  /** Crossing -> what each of its flows gets, bytes per millisecond. */
  readonly #share: Float64Array;
  /** Crossing -> its flows, in the order in which they came. */
  readonly #flows: Set<number>[];

  constructor({ of, rate }: ZoneLinks) {
    this.#of = of;
    this.#rate = rate;
    this.#zones = of.reduce((most, zone) => Math.max(most, zone + 1), 0);
    this.#count = new Int32Array(this.#zones * 2);
    this.#among = new Int32Array(this.#zones * 2).fill(1);
    this.#share = new Float64Array(this.#zones ** 2 + 1).fill(rate);
    this.#share[0] = Number.POSITIVE_INFINITY;
    this.#flows = Array.from(this.#share, () => new Set());
  }

  /** The crossing between two ends. */
  between(from: number, to: number): number {
    const [a, b] = [this.#of[from]!, this.#of[to]!];
    return a < 0 || b < 0 || a === b ? 0 : 1 + a * this.#zones + b;
  }

  /** What the borders have for a flow, bytes per millisecond. */
  share(crossing: number): number {
    return this.#share[crossing]!;
  }

  /** @param changed is called for each flow with another share than before, apart from the one that begins */
  begin(flow: number, crossing: number, changed: (flow: number) => void): void {
    if (crossing === 0) return;
    this.#recount(crossing, 1, changed);
    this.#flows[crossing]!.add(flow);
  }

  /** @param changed is called for each flow with another share than before, apart from the one that ends */
  end(flow: number, crossing: number, changed: (flow: number) => void): void {
    if (crossing === 0) return;
    this.#flows[crossing]!.delete(flow);
    this.#recount(crossing, -1, changed);
  }

  #recount(crossing: number, by: number, changed: (flow: number) => void): void {
    const from = Math.floor((crossing - 1) / this.#zones);
    const to = (crossing - 1) % this.#zones;
    const out = this.#isRecounted(from * 2, by);
    const into = this.#isRecounted(to * 2 + 1, by);
    for (let zone = 0; zone < this.#zones; zone++) {
      if (out) this.#reshare(from, zone, changed);
      if (into && (zone !== from || !out)) this.#reshare(zone, to, changed);
    }
  }

  /** @returns whether flows of the border have another share now */
  #isRecounted(border: number, by: number): boolean {
    this.#count[border]! += by;
    const count = this.#count[border]!;
    const among = this.#among[border]!;
    if (count <= among && count > among * (1 - TOLERANCE)) return false;
    const wanted = count <= EXACT_FLOWS ? Math.max(1, count) : Math.ceil(count * (1 + TOLERANCE / 2));
    this.#among[border] = wanted;
    return wanted !== among;
  }

  #reshare(from: number, to: number, changed: (flow: number) => void): void {
    const crossing = 1 + from * this.#zones + to;
    const share = this.#rate / Math.max(this.#among[from * 2]!, this.#among[to * 2 + 1]!);
    if (share === this.#share[crossing]) return;
    this.#share[crossing] = share;
    for (const flow of this.#flows[crossing]!) changed(flow);
  }
}

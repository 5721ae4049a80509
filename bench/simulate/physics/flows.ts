import type { TimingWheel } from './wheel.ts';

/** What is left after rounding, in bytes: such a flow has ended. */
const NOTHING_BYTES = 1e-3;
const INITIAL_CAPACITY = 1 << 10;

/**
 * Bytes as a fluid: each end shares its rate equally among its flows, and a flow runs at the smaller of both shares.
 * Only the flows of the two ends concerned are looked at when one begins or ends. A flow that slows down keeps its
 * event, which then finds bytes left and is set again; only one that speeds up gets a new one.
 */
export class Flows {
  /** Flow -> ends and meaning, set by {@link open}. */
  from = new Int32Array(INITIAL_CAPACITY);
  to = new Int32Array(INITIAL_CAPACITY);
  readonly #wheel: TimingWheel;
  readonly #kind: number;
  readonly #rate: Float64Array;
  readonly #up: number[][];
  readonly #down: number[][];
  #left = new Float64Array(INITIAL_CAPACITY);
  #flowRate = new Float64Array(INITIAL_CAPACITY);
  #settledAt = new Float64Array(INITIAL_CAPACITY);
  #dueAt = new Float64Array(INITIAL_CAPACITY);
  #version = new Int32Array(INITIAL_CAPACITY);
  readonly #free: number[] = [];
  #end = 0;

  /**
   * @param rates bytes per millisecond of each end, both ways
   * @param kind of the events set on the wheel: a = flow, b = version; give them to {@link ended}
   */
  constructor(rates: Float64Array, wheel: TimingWheel, kind: number) {
    this.#rate = rates;
    this.#wheel = wheel;
    this.#kind = kind;
    this.#up = Array.from(rates, () => []);
    this.#down = Array.from(rates, () => []);
  }

  /** Flows into that end. */
  into(end: number): readonly number[] {
    return this.#down[end]!;
  }

  /** Flows out of that end. */
  outOf(end: number): readonly number[] {
    return this.#up[end]!;
  }

  /** A flow number, not running yet. */
  open(from: number, to: number, bytes: number): number {
    const flow = this.#free.pop() ?? this.#end++;
    if (flow === this.from.length) this.#grow();
    this.from[flow] = from;
    this.to[flow] = to;
    this.#left[flow] = bytes;
    this.#flowRate[flow] = 0;
    return flow;
  }

  start(flow: number): void {
    const now = this.#wheel.now;
    this.#settledAt[flow] = now;
    this.#dueAt[flow] = Number.POSITIVE_INFINITY;
    this.#up[this.from[flow]!]!.push(flow);
    this.#down[this.to[flow]!]!.push(flow);
    this.#share(this.from[flow]!, this.to[flow]!);
  }

  /** For an event of our kind. @returns whether the flow has come to its end, and was stopped */
  ended(flow: number, version: number): boolean {
    if (this.#version[flow] !== version) return false;
    this.#settle(flow);
    if (this.#left[flow]! > NOTHING_BYTES) {
      this.#arm(flow);
      return false;
    }
    this.stop(flow);
    return true;
  }

  /** Takes a running flow out; its number stays valid until {@link release}. */
  stop(flow: number): void {
    this.#version[flow]!++;
    remove(this.#up[this.from[flow]!]!, flow);
    remove(this.#down[this.to[flow]!]!, flow);
    this.#share(this.from[flow]!, this.to[flow]!);
  }

  release(flow: number): void {
    this.#version[flow]!++;
    this.#free.push(flow);
  }

  #share(from: number, to: number): void {
    for (const flow of this.#up[from]!) this.#retime(flow);
    for (const flow of this.#down[to]!) this.#retime(flow);
  }

  #retime(flow: number): void {
    const from = this.from[flow]!;
    const to = this.to[flow]!;
    const rate = Math.min(
      this.#rate[from]! / this.#up[from]!.length,
      this.#rate[to]! / this.#down[to]!.length,
    );
    if (rate === this.#flowRate[flow]) return;
    this.#settle(flow);
    this.#flowRate[flow] = rate;
    if (this.#wheel.now + this.#left[flow]! / rate < this.#dueAt[flow]!) this.#arm(flow);
  }

  #settle(flow: number): void {
    const now = this.#wheel.now;
    this.#left[flow] = this.#left[flow]! - this.#flowRate[flow]! * (now - this.#settledAt[flow]!);
    this.#settledAt[flow] = now;
  }

  #arm(flow: number): void {
    const dueAt = this.#wheel.now + Math.max(0, this.#left[flow]!) / this.#flowRate[flow]!;
    this.#dueAt[flow] = dueAt;
    this.#version[flow]!++;
    this.#wheel.add(dueAt, this.#kind, flow, this.#version[flow]!, 0, 0);
  }

  #grow(): void {
    const size = this.from.length * 2;
    const copy = <T extends Int32Array | Float64Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.from = copy(this.from, new Int32Array(size));
    this.to = copy(this.to, new Int32Array(size));
    this.#left = copy(this.#left, new Float64Array(size));
    this.#flowRate = copy(this.#flowRate, new Float64Array(size));
    this.#settledAt = copy(this.#settledAt, new Float64Array(size));
    this.#dueAt = copy(this.#dueAt, new Float64Array(size));
    this.#version = copy(this.#version, new Int32Array(size));
  }
}

/** The order of flows does not matter, but must not depend on anything random. */
function remove(flows: number[], flow: number): void {
  const at = flows.indexOf(flow);
  if (at < 0) return;
  flows[at] = flows[flows.length - 1]!;
  flows.pop();
}

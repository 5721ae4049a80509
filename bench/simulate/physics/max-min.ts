import type { FluidLinks } from './fluid-links.ts';
import type { TimingWheel } from './wheel.ts';

/** What is left after rounding, in bytes: such a flow has ended. */
const NOTHING_BYTES = 1e-3;
/** Shares that differ by less are the same, in parts of them: what rounding leaves. */
const SAME_SHARE = 1e-9;
const INITIAL_CAPACITY = 1 << 10;

/**
 * The exact rule that `Flows` comes near to: rates are the global max-min fair ones, so that no flow can get more except
 * from one that has no more than it. All rates are found anew whenever a flow begins or ends, which takes too long for
 * more than some 300 ends.
 */
export class MaxMinFlows implements FluidLinks {
  from = new Int32Array(INITIAL_CAPACITY);
  to = new Int32Array(INITIAL_CAPACITY);
  readonly #wheel: TimingWheel;
  readonly #kind: number;
  readonly #ends: number;
  /** Links: the ends' ways out, then their ways in. */
  readonly #linkRate: Float64Array;
  readonly #flowsOf: number[][];
  /** Link -> what its flows without a rate can still share, and how many they are. */
  readonly #spare: Float64Array;
  readonly #open: Int32Array;
  #left = new Float64Array(INITIAL_CAPACITY);
  #flowRate = new Float64Array(INITIAL_CAPACITY);
  #nextRate = new Float64Array(INITIAL_CAPACITY);
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
    this.#wheel = wheel;
    this.#kind = kind;
    this.#ends = rates.length;
    this.#linkRate = Float64Array.of(...rates, ...rates);
    this.#flowsOf = Array.from(this.#linkRate, () => []);
    this.#spare = new Float64Array(this.#linkRate.length);
    this.#open = new Int32Array(this.#linkRate.length);
  }

  into(end: number): readonly number[] {
    return this.#flowsOf[this.#ends + end]!;
  }

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
    this.#settledAt[flow] = this.#wheel.now;
    this.#dueAt[flow] = Number.POSITIVE_INFINITY;
    this.#flowsOf[this.from[flow]!]!.push(flow);
    this.#flowsOf[this.#ends + this.to[flow]!]!.push(flow);
    this.#share();
  }

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

  stop(flow: number): void {
    this.#version[flow]!++;
    for (const link of [this.from[flow]!, this.#ends + this.to[flow]!]) {
      const flows = this.#flowsOf[link]!;
      flows.splice(flows.indexOf(flow), 1);
    }
    this.#share();
  }

  release(flow: number): void {
    this.#version[flow]!++;
    this.#free.push(flow);
  }

  /** Progressive filling: the links that offer least give their flows that much, and nobody can change it any more. */
  #share(): void {
    let filling: number[] = [];
    for (const [link, flows] of this.#flowsOf.entries()) {
      if (flows.length === 0) continue;
      filling.push(link);
      this.#spare[link] = this.#linkRate[link]!;
      this.#open[link] = flows.length;
      for (const flow of flows) this.#nextRate[flow] = -1;
    }
    while (filling.length > 0) {
      let least = Number.POSITIVE_INFINITY;
      for (const link of filling) least = Math.min(least, this.#spare[link]! / this.#open[link]!);
      const full = filling.filter((link) => this.#spare[link]! / this.#open[link]! <= least * (1 + SAME_SHARE));
      for (const link of full) {
        for (const flow of this.#flowsOf[link]!) if (this.#nextRate[flow]! < 0) this.#fix(flow, least);
      }
      filling = filling.filter((link) => this.#open[link]! > 0);
    }
    for (let end = 0; end < this.#ends; end++) for (const flow of this.#flowsOf[end]!) this.#retime(flow);
  }

  #fix(flow: number, rate: number): void {
    this.#nextRate[flow] = rate;
    for (const link of [this.from[flow]!, this.#ends + this.to[flow]!]) {
      this.#spare[link] = Math.max(0, this.#spare[link]! - rate);
      this.#open[link]!--;
    }
  }

  #retime(flow: number): void {
    const rate = this.#nextRate[flow]!;
    if (rate === this.#flowRate[flow]) return;
    this.#settle(flow);
    this.#flowRate[flow] = rate;
    // A flow that slows down keeps its event, which then finds bytes left and is set again.
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
    this.#nextRate = copy(this.#nextRate, new Float64Array(size));
    this.#settledAt = copy(this.#settledAt, new Float64Array(size));
    this.#dueAt = copy(this.#dueAt, new Float64Array(size));
    this.#version = copy(this.#version, new Int32Array(size));
  }
}

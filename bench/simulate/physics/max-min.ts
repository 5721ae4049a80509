import type { FluidLinks } from './fluid-links.ts';
import type { TimingWheel } from './wheel.ts';

/** What is left after rounding, in bytes: such a flow has ended. */
const NOTHING_BYTES = 1e-3;
/** Flows that end so soon after the first one get their events with it: they may well end together. */
const TOGETHER_MS = 1 / 16;
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
  /** Link -> equal share of the former among the latter. */
  readonly #offer: Float64Array;
  /** Links that have flows without a rate. */
  readonly #filling: Int32Array;
  #left = new Float64Array(INITIAL_CAPACITY);
  #flowRate = new Float64Array(INITIAL_CAPACITY);
  #isFixed = new Uint8Array(INITIAL_CAPACITY);
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
    this.#offer = new Float64Array(this.#linkRate.length);
    this.#filling = new Int32Array(this.#linkRate.length);
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

  /** Progressive filling: the link that offers least gives its flows that much, and nobody can change it any more. */
  #share(): void {
    let filling = 0;
    for (let link = 0; link < this.#linkRate.length; link++) {
      const flows = this.#flowsOf[link]!;
      if (flows.length === 0) continue;
      this.#filling[filling++] = link;
      this.#spare[link] = this.#linkRate[link]!;
      this.#open[link] = flows.length;
      this.#offer[link] = this.#linkRate[link]! / flows.length;
      for (const flow of flows) this.#isFixed[flow] = 0;
    }
    while (filling > 0) {
      let least = 0;
      for (let i = 1; i < filling; i++) {
        if (this.#offer[this.#filling[i]!]! < this.#offer[this.#filling[least]!]!) least = i;
      }
      const link = this.#filling[least]!;
      this.#filling[least] = this.#filling[--filling]!;
      const rate = this.#offer[link]!;
      for (const flow of this.#flowsOf[link]!) if (this.#isFixed[flow] === 0) this.#fix(flow, rate);
    }
    this.#armFirst();
  }

  #fix(flow: number, rate: number): void {
    this.#isFixed[flow] = 1;
    this.#takeFrom(this.from[flow]!, rate);
    this.#takeFrom(this.#ends + this.to[flow]!, rate);
    if (rate === this.#flowRate[flow]) return;
    this.#settle(flow);
    this.#flowRate[flow] = rate;
  }

  #takeFrom(link: number, rate: number): void {
    this.#spare[link]! -= rate;
    const open = --this.#open[link]!;
    // Rounding must not let it offer less than it has given already.
    this.#offer[link] = open > 0 ? Math.max(rate, this.#spare[link]! / open) : Number.POSITIVE_INFINITY;
  }

  /**
   * Only the flows that end first get events: all rates are found anew before another one ends. A flow that has slowed
   * down keeps its event, which then finds bytes left and is set again.
   */
  #armFirst(): void {
    let first = Number.POSITIVE_INFINITY;
    for (let end = 0; end < this.#ends; end++) {
      for (const flow of this.#flowsOf[end]!) first = Math.min(first, this.#endsAt(flow));
    }
    for (let end = 0; end < this.#ends; end++) {
      for (const flow of this.#flowsOf[end]!) {
        const endsAt = this.#endsAt(flow);
        if (endsAt <= first + TOGETHER_MS && endsAt < this.#dueAt[flow]!) this.#arm(flow);
      }
    }
  }

  /** At its rate of today, milliseconds. */
  #endsAt(flow: number): number {
    return this.#settledAt[flow]! + this.#left[flow]! / this.#flowRate[flow]!;
  }

  #settle(flow: number): void {
    const now = this.#wheel.now;
    this.#left[flow] = this.#left[flow]! - this.#flowRate[flow]! * (now - this.#settledAt[flow]!);
    this.#settledAt[flow] = now;
  }

  #arm(flow: number): void {
    const dueAt = this.#endsAt(flow);
    this.#dueAt[flow] = dueAt;
    this.#version[flow]!++;
    this.#wheel.add(dueAt, this.#kind, flow, this.#version[flow]!, 0, 0);
  }

  #grow(): void {
    const size = this.from.length * 2;
    const copy = <T extends Uint8Array | Int32Array | Float64Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.from = copy(this.from, new Int32Array(size));
    this.to = copy(this.to, new Int32Array(size));
    this.#left = copy(this.#left, new Float64Array(size));
    this.#flowRate = copy(this.#flowRate, new Float64Array(size));
    this.#isFixed = copy(this.#isFixed, new Uint8Array(size));
    this.#settledAt = copy(this.#settledAt, new Float64Array(size));
    this.#dueAt = copy(this.#dueAt, new Float64Array(size));
    this.#version = copy(this.#version, new Int32Array(size));
  }
}

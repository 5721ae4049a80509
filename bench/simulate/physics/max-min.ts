import type { FluidLinks, ZoneLinks } from './fluid-links.ts';
import type { TimingWheel } from './wheel.ts';

/** What is left after rounding, in bytes: such a flow has ended. */
const NOTHING_BYTES = 1e-3;
/** Flows that end so soon after the first one get their events with it: they may well end together. */
const TOGETHER_MS = 1 / 16;
const INITIAL_CAPACITY = 1 << 10;
/** Links of a flow at most: out of its sender, into its receiver, out of a zone, into another. */
const LINKS = 4;
const NO_LINK = -1;

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
  readonly #zones: ZoneLinks | undefined;
  /** Links: the ends' ways out, then their ways in, then the zones' ways out, then their ways in. */
  readonly #linkRate: Float64Array;
  readonly #flowsOf: number[][];
  /** Link -> what its flows without a rate can still share, and how many they are. */
  readonly #spare: Float64Array;
  readonly #open: Int32Array;
  /** Link -> equal share of the former among the latter. */
  readonly #offer: Float64Array;
  /** Links that have flows without a rate. */
  readonly #filling: Int32Array;
  /** Links of each flow side by side, or {@link NO_LINK}. */
  #linksOf = new Int32Array(INITIAL_CAPACITY * LINKS);
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
  constructor(rates: Float64Array, wheel: TimingWheel, kind: number, zones?: ZoneLinks) {
    this.#wheel = wheel;
    this.#kind = kind;
    this.#ends = rates.length;
    this.#zones = zones;
    const borders = zones === undefined ? [] : Array.from({ length: 2 * zoneCount(zones) }, () => zones.rate);
    this.#linkRate = Float64Array.of(...rates, ...rates, ...borders);
    this.#flowsOf = Array.from(this.#linkRate, () => []);
    this.#spare = new Float64Array(this.#linkRate.length);
    this.#open = new Int32Array(this.#linkRate.length);
    this.#offer = new Float64Array(this.#linkRate.length);
    this.#filling = new Int32Array(this.#linkRate.length);
  }

  outOf(end: number): readonly number[] {
    return this.#flowsOf[end]!;
  }

  into(end: number): readonly number[] {
    return this.#flowsOf[this.#ends + end]!;
  }

  open(from: number, to: number, bytes: number): number {
    const flow = this.#free.pop() ?? this.#end++;
    if (flow === this.from.length) this.#grow();
    this.from[flow] = from;
    this.to[flow] = to;
    this.#linksOf.set([from, this.#ends + to, ...this.#borders(from, to)], flow * LINKS);
    this.#left[flow] = bytes;
    this.#flowRate[flow] = 0;
    return flow;
  }

  start(flow: number): void {
    this.#settledAt[flow] = this.#wheel.now;
    this.#dueAt[flow] = Number.POSITIVE_INFINITY;
    for (const link of this.#links(flow)) if (link !== NO_LINK) this.#flowsOf[link]!.push(flow);
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
    for (const link of this.#links(flow)) {
      if (link === NO_LINK) continue;
      const flows = this.#flowsOf[link]!;
      flows.splice(flows.indexOf(flow), 1);
    }
    this.#share();
  }

  release(flow: number): void {
    this.#version[flow]!++;
    this.#free.push(flow);
  }

  #links(flow: number): Int32Array {
    return this.#linksOf.subarray(flow * LINKS, (flow + 1) * LINKS);
  }

  /** Out of one zone and into another. */
  #borders(from: number, to: number): readonly [number, number] {
    const [a, b] = [this.#zones?.of[from] ?? -1, this.#zones?.of[to] ?? -1];
    if (this.#zones === undefined || a < 0 || b < 0 || a === b) return [NO_LINK, NO_LINK];
    return [this.#ends * 2 + a, this.#ends * 2 + zoneCount(this.#zones) + b];
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
    for (let i = flow * LINKS; i < (flow + 1) * LINKS; i++) {
      if (this.#linksOf[i] !== NO_LINK) this.#takeFrom(this.#linksOf[i]!, rate);
    }
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
    this.#linksOf = copy(this.#linksOf, new Int32Array(size * LINKS));
    this.#left = copy(this.#left, new Float64Array(size));
    this.#flowRate = copy(this.#flowRate, new Float64Array(size));
    this.#isFixed = copy(this.#isFixed, new Uint8Array(size));
    this.#settledAt = copy(this.#settledAt, new Float64Array(size));
    this.#dueAt = copy(this.#dueAt, new Float64Array(size));
    this.#version = copy(this.#version, new Int32Array(size));
  }
}

function zoneCount({ of }: ZoneLinks): number {
  return of.reduce((most, zone) => Math.max(most, zone + 1), 0);
}

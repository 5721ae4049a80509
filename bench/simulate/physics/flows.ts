import { Borders } from './borders.ts';
import type { FluidLinks, Physics, ZoneLinks } from './fluid-links.ts';
import type { TimingWheel } from './wheel.ts';

/** What is left after rounding, in bytes: such a flow has ended. */
const NOTHING_BYTES = 1e-3;
const INITIAL_CAPACITY = 1 << 10;

/** Numbers kept for each flow: one cache line. */
const FLOW = 8;
/** Bytes left when it was settled last. */
const LEFT = 0;
/** Bytes per millisecond since then. */
const RATE = 1;
const SETTLED_AT = 2;
/** When its event comes, milliseconds. */
const DUE_AT = 3;
/** Counts events, so that outdated ones are known. */
const VERSION = 4;
/** What its sender and its receiver have for it: kept here so that the other end need not be looked at. */
const SENDER_SHARE = 5;
const RECEIVER_SHARE = 6;
/** The border between its zones, for `Borders`. */
const CROSSING = 7;

/** Numbers that each direction of each end has room for at first: one cache line, when all goes well. */
const INITIAL_ROOM = 8;
/** Bytes per millisecond, for all its flows together. */
const TOTAL = 0;
/** Flows, and their numbers. */
const COUNT = 1;
const LIST = 2;

/**
 * Bytes as a fluid: each end shares its rate equally among its flows, and a flow runs at the smaller of both shares,
 * or of its shares of the borders that it crosses when zones have a limit (then a little less: see {@link Borders}).
 * Only the flows of the two ends concerned are looked at when one begins or ends. A flow that slows down keeps its
 * event, which then finds bytes left and is set again; only one that speeds up gets a new one.
 *
 * Thousands of ends do not fit into the caches of one CPU, so what is used together lies together: a record for each
 * flow, and one for each direction of each end.
 */
export class Flows implements FluidLinks {
  /** Flow -> ends and meaning, set by {@link open}. */
  from = new Int32Array(INITIAL_CAPACITY);
  to = new Int32Array(INITIAL_CAPACITY);
  readonly #wheel: TimingWheel;
  readonly #kind: number;
  readonly #borders: Borders | undefined;
  #flows = new Float64Array(INITIAL_CAPACITY * FLOW);
  /** Direction -> where its record lies in `#ends`: end e sends in direction 2e and receives in 2e + 1. */
  readonly #at: Int32Array;
  readonly #room: Int32Array;
  #ends: Float64Array;
  #used: number;
  readonly #free: number[] = [];
  #end = 0;
  readonly #changed = (flow: number): void => this.#rerate(flow);

  /**
   * @param rates bytes per millisecond of each end, both ways
   * @param kind of the events set on the wheel: a = flow, b = version; give them to {@link ended}
   */
  constructor(rates: Float64Array, wheel: TimingWheel, kind: number, zones?: ZoneLinks) {
    this.#wheel = wheel;
    this.#kind = kind;
    if (zones !== undefined) this.#borders = new Borders(zones);
    const directions = rates.length * 2;
    this.#at = Int32Array.from({ length: directions }, (_, direction) => direction * INITIAL_ROOM);
    this.#room = new Int32Array(directions).fill(INITIAL_ROOM);
    this.#used = directions * INITIAL_ROOM;
    this.#ends = new Float64Array(this.#used);
    for (let i = 0; i < directions; i++) this.#ends[this.#at[i]! + TOTAL] = rates[i >> 1]!;
  }

  /** Flows into that end: a copy. */
  into(end: number): readonly number[] {
    return this.#list(this.#receiver(end));
  }

  /** Flows out of that end: a copy. */
  outOf(end: number): readonly number[] {
    return this.#list(this.#sender(end));
  }

  /** A flow number, not running yet. */
  open(from: number, to: number, bytes: number): number {
    const flow = this.#free.pop() ?? this.#end++;
    if (flow === this.from.length) this.#grow();
    this.from[flow] = from;
    this.to[flow] = to;
    const at = flow * FLOW;
    this.#flows[at + LEFT] = bytes;
    this.#flows[at + RATE] = 0;
    this.#flows[at + CROSSING] = this.#borders?.between(from, to) ?? 0;
    return flow;
  }

  start(flow: number): void {
    const at = flow * FLOW;
    this.#flows[at + SETTLED_AT] = this.#wheel.now;
    this.#flows[at + DUE_AT] = Number.POSITIVE_INFINITY;
    this.#join(this.from[flow]! * 2, flow);
    this.#join(this.to[flow]! * 2 + 1, flow);
    this.#borders?.begin(flow, this.#flows[at + CROSSING]!, this.#changed);
    this.#share(flow);
  }

  /** For an event of our kind. @returns whether the flow has come to its end, and was stopped */
  ended(flow: number, version: number): boolean {
    const at = flow * FLOW;
    if (this.#flows[at + VERSION] !== version) return false;
    this.#settle(at);
    if (this.#flows[at + LEFT]! > NOTHING_BYTES) {
      this.#arm(flow);
      return false;
    }
    this.stop(flow);
    return true;
  }

  /** Takes a running flow out; its number stays valid until {@link release}. */
  stop(flow: number): void {
    this.#flows[flow * FLOW + VERSION]!++;
    this.#leave(this.#sender(this.from[flow]!), flow);
    this.#leave(this.#receiver(this.to[flow]!), flow);
    this.#share(flow);
    this.#borders?.end(flow, this.#flows[flow * FLOW + CROSSING]!, this.#changed);
  }

  release(flow: number): void {
    this.#flows[flow * FLOW + VERSION]!++;
    this.#free.push(flow);
  }

  #list(record: number): readonly number[] {
    const flows: number[] = [];
    for (let i = 0; i < this.#ends[record + COUNT]!; i++) flows.push(this.#ends[record + LIST + i]!);
    return flows;
  }

  /** Where that record lies until the next {@link #join}. */
  #sender(end: number): number {
    return this.#at[end * 2]!;
  }

  #receiver(end: number): number {
    return this.#at[end * 2 + 1]!;
  }

  #join(direction: number, flow: number): void {
    if (LIST + this.#ends[this.#at[direction]! + COUNT]! === this.#room[direction]!) this.#widen(direction);
    const at = this.#at[direction]!;
    const count = this.#ends[at + COUNT]!;
    this.#ends[at + LIST + count] = flow;
    this.#ends[at + COUNT] = count + 1;
  }

  /** The order of flows does not matter, but must not depend on anything random. */
  #leave(at: number, flow: number): void {
    const ends = this.#ends;
    const last = ends[at + COUNT]! - 1;
    for (let i = 0; i <= last; i++) {
      if (ends[at + LIST + i] !== flow) continue;
      ends[at + LIST + i] = ends[at + LIST + last]!;
      ends[at + COUNT] = last;
      return;
    }
  }

  /** The flow began or ended: those at its two ends have less or more. */
  #share(flow: number): void {
    const sender = this.#sender(this.from[flow]!);
    const receiver = this.#receiver(this.to[flow]!);
    // Both before any rate changes: some flows have the same two ends.
    this.#setShares(sender, SENDER_SHARE);
    this.#setShares(receiver, RECEIVER_SHARE);
    this.#retime(sender);
    this.#retime(receiver);
  }

  #setShares(record: number, share: number): void {
    const ends = this.#ends;
    const count = ends[record + COUNT]!;
    const rate = ends[record + TOTAL]! / count;
    for (let i = 0; i < count; i++) this.#flows[ends[record + LIST + i]! * FLOW + share] = rate;
  }

  #retime(record: number): void {
    const ends = this.#ends;
    const last = record + LIST + ends[record + COUNT]!;
    for (let i = record + LIST; i < last; i++) this.#rerate(ends[i]!);
  }

  #rerate(flow: number): void {
    const flows = this.#flows;
    const at = flow * FLOW;
    let rate = Math.min(flows[at + SENDER_SHARE]!, flows[at + RECEIVER_SHARE]!);
    if (this.#borders !== undefined) rate = Math.min(rate, this.#borders.share(flows[at + CROSSING]!));
    if (rate === flows[at + RATE]) return;
    this.#settle(at);
    flows[at + RATE] = rate;
    if (this.#wheel.now + flows[at + LEFT]! / rate < flows[at + DUE_AT]!) this.#arm(flow);
  }

  #settle(at: number): void {
    const flows = this.#flows;
    const { now } = this.#wheel;
    flows[at + LEFT] = flows[at + LEFT]! - flows[at + RATE]! * (now - flows[at + SETTLED_AT]!);
    flows[at + SETTLED_AT] = now;
  }

  #arm(flow: number): void {
    const flows = this.#flows;
    const at = flow * FLOW;
    const dueAt = this.#wheel.now + Math.max(0, flows[at + LEFT]!) / flows[at + RATE]!;
    const version = flows[at + VERSION]! + 1;
    flows[at + DUE_AT] = dueAt;
    flows[at + VERSION] = version;
    this.#wheel.add(dueAt, this.#kind, flow, version, 0, 0);
  }

  /** The record moves to where there is room for more flows. */
  #widen(direction: number): void {
    const room = this.#room[direction]!;
    const from = this.#at[direction]!;
    const to = this.#used;
    this.#used += room * 2;
    if (this.#used > this.#ends.length) this.#ends = copied(this.#ends, new Float64Array(this.#used * 2));
    this.#ends.copyWithin(to, from, from + room);
    this.#at[direction] = to;
    this.#room[direction] = room * 2;
  }

  #grow(): void {
    const size = this.from.length * 2;
    this.from = copied(this.from, new Int32Array(size));
    this.to = copied(this.to, new Int32Array(size));
    this.#flows = copied(this.#flows, new Float64Array(size * FLOW));
  }
}

/** The physics of all strategies. */
export const equalShares: Physics = (rates, wheel, kind, zones) => new Flows(rates, wheel, kind, zones);

function copied<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

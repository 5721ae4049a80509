import type { TimingWheel } from '../physics/wheel.ts';
import { EndQueue } from './end-queue.ts';

/** What is left after rounding, in bytes: such a flow has ended. */
const NOTHING_BYTES = 1e-3;

/** Flows from one end whose receivers offer the same share: all of them progress alike. */
interface Group {
  /** What the receiver offers each of its flows, bytes per millisecond. */
  readonly cap: number;
  /** Bytes that a flow which was always there has got, by `settledAt`. */
  progress: number;
  settledAt: number;
  rate: number;
  flows: number;
  /** Those flows and stale entries, smallest end first. */
  readonly queue: EndQueue;
}

/** What one end sends. */
interface Source {
  readonly groups: Map<number, Group>;
  flows: number;
  version: number;
  /** When its event comes, milliseconds. */
  dueAt: number;
}

/**
 * The physics of equal shares for few ends that send to very many: an event costs O(log flows), not O(flows). Flows are
 * numbered by the caller, from 0. A receiver has few flows at a time.
 */
export class FanOut {
  readonly #rates: Float64Array;
  readonly #wheel: TimingWheel;
  readonly #kind: number;
  readonly #sources = new Map<number, Source>();
  /** End -> flows into it. */
  readonly #into: number[][];
  readonly #from: Int32Array;
  readonly #to: Int32Array;
  readonly #left: Float64Array;
  /** Progress of its group at which the flow ends. */
  readonly #endsAt: Float64Array;
  /** Flow -> counts its moves between groups: an entry of another stamp is stale. */
  readonly #stamp: Int32Array;
  readonly #group: (Group | undefined)[];

  /**
   * @param rates bytes per millisecond of each end, both ways
   * @param flows how many there can be
   * @param kind of the events set on the wheel: a = sending end, b = version; give them to {@link ended}
   */
  constructor(rates: Float64Array, flows: number, wheel: TimingWheel, kind: number) {
    this.#rates = rates;
    this.#wheel = wheel;
    this.#kind = kind;
    this.#into = Array.from(rates, () => []);
    this.#from = new Int32Array(flows);
    this.#to = new Int32Array(flows);
    this.#left = new Float64Array(flows);
    this.#endsAt = new Float64Array(flows);
    this.#stamp = new Int32Array(flows);
    this.#group = Array.from({ length: flows }, () => undefined);
  }

  isRunning(flow: number): boolean {
    return this.#group[flow] !== undefined;
  }

  start(flow: number, from: number, to: number, bytes: number): void {
    this.#from[flow] = from;
    this.#to[flow] = to;
    this.#left[flow] = bytes;
    let source = this.#sources.get(from);
    if (source === undefined) {
      source = { groups: new Map(), flows: 0, version: 0, dueAt: Number.POSITIVE_INFINITY };
      this.#sources.set(from, source);
    }
    source.flows++;
    this.#into[to]!.push(flow);
    this.#retime(this.#regroup(to, new Set([from])));
  }

  /** Takes a running flow out. @returns bytes that it had left */
  stop(flow: number): number {
    this.#takeOut(flow);
    this.#retime(this.#regroup(this.#to[flow]!, new Set([this.#from[flow]!])));
    return this.#left[flow]!;
  }

  /** For an event of our kind. @returns the flows that have come to their ends, taken out */
  ended(from: number, version: number): readonly number[] {
    const source = this.#sources.get(from);
    if (source === undefined || source.version !== version) return [];
    source.dueAt = Number.POSITIVE_INFINITY;
    const over: number[] = [];
    for (const group of source.groups.values()) {
      this.#settle(group);
      for (let flow = this.#head(group); flow >= 0; flow = this.#head(group)) {
        if (this.#endsAt[flow]! - group.progress > NOTHING_BYTES) break;
        this.#takeOut(flow);
        over.push(flow);
      }
    }
    const touched = new Set([from]);
    for (const flow of over) this.#regroup(this.#to[flow]!, touched);
    this.#retime(touched);
    return over;
  }

  #takeOut(flow: number): void {
    this.#ungroup(flow);
    this.#sources.get(this.#from[flow]!)!.flows--;
    const into = this.#into[this.#to[flow]!]!;
    into.splice(into.indexOf(flow), 1);
  }

  /** The share that the receiver offers has changed. @returns `touched`, with those who send to it */
  #regroup(to: number, touched: Set<number>): Set<number> {
    const flows = this.#into[to]!;
    const cap = this.#rates[to]! / flows.length;
    for (const flow of flows) {
      if (this.#group[flow]?.cap === cap) continue;
      if (this.#group[flow] !== undefined) this.#ungroup(flow);
      const from = this.#from[flow]!;
      const { groups } = this.#sources.get(from)!;
      let group = groups.get(cap);
      if (group === undefined) {
        group = { cap, progress: 0, settledAt: this.#wheel.now, rate: 0, flows: 0, queue: new EndQueue() };
        groups.set(cap, group);
      }
      this.#settle(group);
      group.flows++;
      this.#group[flow] = group;
      this.#endsAt[flow] = group.progress + this.#left[flow]!;
      group.queue.push(this.#endsAt[flow], flow, this.#stamp[flow]!);
      touched.add(from);
    }
    return touched;
  }

  #ungroup(flow: number): void {
    const group = this.#group[flow]!;
    this.#settle(group);
    this.#left[flow] = Math.max(0, this.#endsAt[flow]! - group.progress);
    group.flows--;
    this.#group[flow] = undefined;
    this.#stamp[flow]!++;
  }

  #settle(group: Group): void {
    const { now } = this.#wheel;
    group.progress += group.rate * (now - group.settledAt);
    group.settledAt = now;
  }

  /** The flow of the group that ends first, or -1. */
  #head({ queue }: Group): number {
    while (queue.size > 0 && this.#stamp[queue.flow] !== queue.stamp) queue.pop();
    return queue.size > 0 ? queue.flow : -1;
  }

  #retime(ends: ReadonlySet<number>): void {
    const { now } = this.#wheel;
    for (const end of ends) {
      const source = this.#sources.get(end)!;
      const share = this.#rates[end]! / source.flows;
      let next = Number.POSITIVE_INFINITY;
      for (const group of source.groups.values()) {
        this.#settle(group);
        if (group.flows === 0) {
          source.groups.delete(group.cap);
          continue;
        }
        group.rate = Math.min(share, group.cap);
        next = Math.min(next, now + (this.#endsAt[this.#head(group)]! - group.progress) / group.rate);
      }
      // An event that comes too early finds nothing, and is set again.
      if (next >= source.dueAt) continue;
      source.dueAt = next;
      source.version++;
      this.#wheel.add(next, this.#kind, end, source.version, 0, 0);
    }
  }
}

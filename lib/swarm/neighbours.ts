import type { Memory } from './memory.ts';
import { SlotList } from './slots.ts';

export type PeerKind = 'node' | 'supernode';

/** So much that every peer of the own zone comes first. */
const OTHER_ZONE = 1e6;
/** Equal peers differ by less from moment to moment, and should share the load equally. */
const NOTABLY_SLOW = 1.6;
/** Share of the difference to the usual that is forgotten at a time: a half in 140 times. */
const FORGETS = 0.005;

const INITIAL_CAPACITY = 12;
/** Numbers kept for each peer; the first eight, one cache line, are those that every message touches. */
const SIZE = 11;
/** Bits, see below. */
const TRAITS = 0;
/** Upload slots that it would give us now: last told, less what we asked since. */
const UP = 1;
/** The most it ever told: how many it has in all, as far as we can see. */
const MOST_UP = 2;
/** Requests to it that are late now; above 0 it is suspect. */
const LATE = 3;
/** Upload slots kept for it. */
const KEPT = 4;
/** How long it takes for a piece, as a multiple of what is usual. */
const SLOWNESS = 5;
/** Not asked before this time, milliseconds. */
const BLOCKED_UNTIL = 6;
/** Told again after this time that we wait, milliseconds. */
const WAITS_UNTIL = 7;
/** Uploads to it under way. */
const UPLOADS = 8;
/** Since when slots are kept for it, milliseconds. */
const KEPT_AT = 9;
/** Failures in a row. */
const STRIKES = 10;

const KNOWN = 1;
const SUPERNODE = 2;
const SAME_ZONE = 4;
/** It sent bytes that do not match their proof: never asked again. */
const BANNED = 8;
/** We told it that we wait for a slot, and it has not told one since. */
const WAITS = 16;

/**
 * What one node knows of the peers that it is connected to, by number. One array of records, because objects with
 * fractional numbers in them are a handful of places in memory each.
 */
export class Neighbours {
  readonly #slots = new SlotList();
  readonly #memory: Memory;
  #of: Float64Array;
  /** Where the records begin. */
  #start: number;
  #capacity = INITIAL_CAPACITY;

  constructor(memory: Memory) {
    this.#memory = memory;
    const { array, at } = memory.numbers.take(INITIAL_CAPACITY * SIZE);
    this.#of = array;
    this.#start = at;
  }

  add(kind: PeerKind, sameZone: boolean): number {
    const peer = this.#slots.take();
    if (peer === this.#capacity) this.#grow();
    const at = this.#at(peer);
    this.#of.fill(0, at, at + SIZE);
    this.#of[at + TRAITS] = KNOWN | (kind === 'supernode' ? SUPERNODE : 0) | (sameZone ? SAME_ZONE : 0);
    this.#of[at + SLOWNESS] = 1;
    return peer;
  }

  remove(peer: number): void {
    this.#of[this.#at(peer) + TRAITS] = 0;
    this.#slots.release(peer);
  }

  /** All numbers are below this. */
  get end(): number {
    return this.#slots.end;
  }

  /** Whether the number names a peer. All other methods are for those that are known. */
  known(peer: number): boolean {
    return peer >= 0 && peer < this.#capacity && this.#is(peer, KNOWN);
  }

  supernode(peer: number): boolean {
    return this.#is(peer, SUPERNODE);
  }

  sameZone(peer: number): boolean {
    return this.#is(peer, SAME_ZONE);
  }

  /** Upload slots that it would give us now. */
  up(peer: number): number {
    return this.#of[this.#at(peer) + UP]!;
  }

  /** It told its free upload slots. */
  tell(peer: number, up: number): void {
    const at = this.#at(peer);
    this.#of[at + UP] = up;
    if (up > this.#of[at + MOST_UP]!) this.#of[at + MOST_UP] = up;
  }

  /** A slot of it was taken (-1) or is free again (1). @returns how many are free now */
  changeUp(peer: number, change: number): number {
    return (this.#of[this.#at(peer) + UP]! += change);
  }

  ban(peer: number): void {
    this.#set(peer, BANNED);
  }

  banned(peer: number): boolean {
    return this.#is(peer, BANNED);
  }

  /** Not banned, not suspect, not in a pause after a failure. */
  trusted(peer: number, now: number): boolean {
    const at = this.#at(peer);
    return this.#of[at + LATE] === 0 && now >= this.#of[at + BLOCKED_UNTIL]! && !this.#is(peer, BANNED);
  }

  /** One more (1) or less (-1) of its requests is late. */
  changeLate(peer: number, change: number): void {
    this.#of[this.#at(peer) + LATE]! += change;
  }

  block(peer: number, until: number): void {
    this.#of[this.#at(peer) + BLOCKED_UNTIL] = until;
  }

  /** @returns failures in a row before this one */
  strike(peer: number): number {
    return this.#of[this.#at(peer) + STRIKES]!++;
  }

  forgive(peer: number): void {
    this.#of[this.#at(peer) + STRIKES] = 0;
  }

  slowness(peer: number): number {
    return this.#of[this.#at(peer) + SLOWNESS]!;
  }

  setSlowness(peer: number, slowness: number): void {
    this.#of[this.#at(peer) + SLOWNESS] = slowness;
  }

  /** It knows, or is about to be told, that we wait for a slot of it; not told again before `time`. */
  waitUntil(peer: number, time: number): void {
    this.#set(peer, WAITS);
    this.#of[this.#at(peer) + WAITS_UNTIL] = time;
  }

  /** We need not tell it now that we wait, because it knows. */
  toldToWait(peer: number, now: number): boolean {
    return this.#is(peer, WAITS) && now < this.#of[this.#at(peer) + WAITS_UNTIL]!;
  }

  /** @returns whether we waited for it */
  stopWaiting(peer: number): boolean {
    const waited = this.#is(peer, WAITS);
    if (waited) this.#of[this.#at(peer) + TRAITS]! -= WAITS;
    return waited;
  }

  uploads(peer: number): number {
    return this.#of[this.#at(peer) + UPLOADS]!;
  }

  setUploads(peer: number, uploads: number): void {
    this.#of[this.#at(peer) + UPLOADS] = uploads;
  }

  /** Upload slots kept for it. */
  kept(peer: number): number {
    return this.#of[this.#at(peer) + KEPT]!;
  }

  setKept(peer: number, kept: number): void {
    this.#of[this.#at(peer) + KEPT] = kept;
  }

  keptAt(peer: number): number {
    return this.#of[this.#at(peer) + KEPT_AT]!;
  }

  /** Keeps one more for it. */
  keep(peer: number, now: number): void {
    this.#of[this.#at(peer) + KEPT]!++;
    this.#of[this.#at(peer) + KEPT_AT] = now;
  }

  /** Takes far longer for a piece than others. */
  slow(peer: number): boolean {
    return this.#of[this.#at(peer) + SLOWNESS]! > NOTABLY_SLOW;
  }

  /** Time has passed: what was learnt of slow ones counts a little less, so that they get another chance. */
  forgetSlowness(): void {
    for (let peer = 0; peer < this.#slots.end; peer++) {
      const at = this.#at(peer) + SLOWNESS;
      this.#of[at] = this.#of[at]! + (1 - this.#of[at]!) * FORGETS;
    }
  }

  /** Lower = rather ask this one: in our own zone, few of its slots are taken, not slow. */
  score(peer: number): number {
    const at = this.#at(peer);
    const taken = this.#of[at + MOST_UP]! - this.#of[at + UP]! + 1;
    const slowness = this.#of[at + SLOWNESS]!;
    const score = slowness > NOTABLY_SLOW ? taken * slowness : taken;
    return this.#is(peer, SAME_ZONE) ? score : score * OTHER_ZONE;
  }

  #at(peer: number): number {
    return this.#start + peer * SIZE;
  }

  #grow(): void {
    const before = this.#of.subarray(this.#start, this.#at(this.#capacity));
    this.#capacity += INITIAL_CAPACITY;
    const { array, at } = this.#memory.numbers.take(this.#capacity * SIZE);
    array.set(before, at);
    this.#of = array;
    this.#start = at;
  }

  #is(peer: number, trait: number): boolean {
    return (this.#of[this.#at(peer) + TRAITS]! & trait) !== 0;
  }

  #set(peer: number, trait: number): void {
    this.#of[this.#at(peer) + TRAITS] = this.#of[this.#at(peer) + TRAITS]! | trait;
  }
}

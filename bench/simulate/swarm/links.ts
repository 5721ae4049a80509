const ROOM = 16;
const SIZE = 3;
const OTHER = 0;
const BACK = 1;
const TOLD = 2;
const ABSENT = -1;

/**
 * Who is linked to whom. A link has a number at each end: the one by which the core of that end knows the other. All
 * links of an end lie side by side in one flat array, because every message looks one up.
 */
export class Links {
  #start: Int32Array;
  #room: Int32Array;
  #count: Int32Array;
  /** For each link: the end at the other side, the number of the link there, and whether that knows of a free slot. */
  #flat: Int32Array;
  #used: number;

  constructor(ends: number) {
    this.#start = Int32Array.from({ length: ends }, (_, end) => end * ROOM);
    this.#room = new Int32Array(ends).fill(ROOM);
    this.#count = new Int32Array(ends);
    this.#used = ends * ROOM;
    this.#flat = new Int32Array(this.#used * SIZE).fill(ABSENT);
  }

  /** Numbers of links of that end are below this; those in between may be unused. */
  count(end: number): number {
    return this.#count[end]!;
  }

  /** The end at the other side, or -1 when the number is not used now. */
  other(end: number, link: number): number {
    return this.#flat[(this.#start[end]! + link) * SIZE + OTHER]!;
  }

  /** The number of the link at its other side. */
  back(end: number, link: number): number {
    return this.#flat[(this.#start[end]! + link) * SIZE + BACK]!;
  }

  /** 1 when the other side was last told of a free upload slot of this end. */
  told(end: number, link: number): number {
    return this.#flat[(this.#start[end]! + link) * SIZE + TOLD]!;
  }

  /** The end at this side of the link has heard how many upload slots the other one has for it. */
  heard(end: number, link: number, slots: number): void {
    const at = (this.#start[this.other(end, link)]! + this.back(end, link)) * SIZE;
    this.#flat[at + TOLD] = slots > 0 ? 1 : 0;
  }

  /** @returns the number at `end` of the link to `other`, or -1 */
  find(end: number, other: number): number {
    if (other < 0) return ABSENT;
    for (let link = 0; link < this.#count[end]!; link++) if (this.other(end, link) === other) return link;
    return ABSENT;
  }

  connect(a: number, linkOfA: number, b: number, linkOfB: number): void {
    this.#set(a, linkOfA, b, linkOfB);
    this.#set(b, linkOfB, a, linkOfA);
  }

  disconnect(a: number, linkOfA: number): void {
    const b = this.other(a, linkOfA);
    this.#set(b, this.back(a, linkOfA), ABSENT, ABSENT);
    this.#set(a, linkOfA, ABSENT, ABSENT);
  }

  #set(end: number, link: number, other: number, back: number): void {
    if (link >= this.#room[end]!) this.#move(end, Math.max(link + 1, this.#room[end]! * 2));
    if (link >= this.#count[end]!) this.#count[end] = link + 1;
    const at = (this.#start[end]! + link) * SIZE;
    this.#flat[at + OTHER] = other;
    this.#flat[at + BACK] = back;
    this.#flat[at + TOLD] = 0;
  }

  #move(end: number, room: number): void {
    const start = this.#used;
    this.#used += room;
    if (this.#used * SIZE > this.#flat.length) {
      const flat = new Int32Array(this.#used * SIZE * 2).fill(ABSENT);
      flat.set(this.#flat);
      this.#flat = flat;
    }
    const from = this.#start[end]! * SIZE;
    this.#flat.copyWithin(start * SIZE, from, from + this.#room[end]! * SIZE);
    this.#start[end] = start;
    this.#room[end] = room;
  }
}

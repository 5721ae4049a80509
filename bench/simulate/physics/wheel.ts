/** A power of two, so that bucket times are exact. Rounding up to it costs 0.03 % of a 50 ms piece. */
const BUCKET_MS = 1 / 64;
/** 4 s; what lies further ahead waits beside the wheel. */
const BUCKETS = 1 << 18;
const INITIAL_CAPACITY = 1 << 12;
/** Integers kept for each event: half a cache line. */
const EVENT = 8;
const NEXT = 5;

/**
 * Events in time order, first in first out within a bucket: a wheel of intrusive lists, because a heap costs several
 * times as much for tens of millions of events. An event is a kind and four integers; it never comes before its time.
 */
export class TimingWheel {
  /** Time of the event under way, milliseconds. */
  now = 0;
  /** Fields of the event that {@link next} took. */
  kind = 0;
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  /** First and last event of each bucket, or -1. */
  readonly #buckets = new Int32Array(BUCKETS * 2).fill(-1);
  /** Number of the bucket under way, counted from the beginning of time. */
  #bucket = 0;
  #pending = 0;
  /** Events that lie further ahead than the wheel reaches, and the numbers of their buckets. */
  #far: { readonly event: number; readonly bucket: number }[] = [];
  #free = -1;
  #capacity = 0;
  /** Of each event its kind, its four integers, and the next one in its bucket. */
  #events = new Int32Array(0);

  constructor() {
    this.#grow(INITIAL_CAPACITY);
  }

  /** Adds an event at a time in milliseconds; one in the past comes next. */
  add(atMs: number, kind: number, a: number, b: number, c: number, d: number): void {
    if (this.#free < 0) this.#grow(this.#capacity * 2);
    const event = this.#free;
    const at = event * EVENT;
    const events = this.#events;
    this.#free = events[at + NEXT]!;
    events[at] = kind;
    events[at + 1] = a;
    events[at + 2] = b;
    events[at + 3] = c;
    events[at + 4] = d;
    // Never into the bucket that is being emptied: it would come a whole revolution late.
    const bucket = Math.max(Math.ceil(atMs / BUCKET_MS), this.#bucket + 1);
    if (bucket - this.#bucket < BUCKETS) this.#append(event, bucket);
    else this.#far.push({ event, bucket });
    this.#pending++;
  }

  /** Takes the next event into the fields. @returns false when there is none */
  next(): boolean {
    while (this.#pending > 0) {
      const first = (this.#bucket & (BUCKETS - 1)) * 2;
      const event = this.#buckets[first]!;
      if (event < 0) {
        this.#bucket++;
        if ((this.#bucket & (BUCKETS - 1)) === 0) this.#bringNear();
        continue;
      }
      this.#buckets[first] = this.#events[event * EVENT + NEXT]!;
      this.#take(event);
      return true;
    }
    return false;
  }

  #append(event: number, bucket: number): void {
    const first = (bucket & (BUCKETS - 1)) * 2;
    this.#events[event * EVENT + NEXT] = -1;
    if (this.#buckets[first]! < 0) this.#buckets[first] = event;
    else this.#events[this.#buckets[first + 1]! * EVENT + NEXT] = event;
    this.#buckets[first + 1] = event;
  }

  /** A new revolution begins: events that fall into it go onto the wheel. */
  #bringNear(): void {
    const far = this.#far;
    this.#far = [];
    for (const each of far) {
      if (each.bucket - this.#bucket < BUCKETS) this.#append(each.event, each.bucket);
      else this.#far.push(each);
    }
  }

  #grow(capacity: number): void {
    const events = new Int32Array(capacity * EVENT);
    events.set(this.#events);
    for (let event = capacity - 1; event >= this.#capacity; event--) {
      events[event * EVENT + NEXT] = this.#free;
      this.#free = event;
    }
    this.#events = events;
    this.#capacity = capacity;
  }

  #take(event: number): void {
    const at = event * EVENT;
    const events = this.#events;
    this.kind = events[at]!;
    this.a = events[at + 1]!;
    this.b = events[at + 2]!;
    this.c = events[at + 3]!;
    this.d = events[at + 4]!;
    this.now = this.#bucket * BUCKET_MS;
    events[at + NEXT] = this.#free;
    this.#free = event;
    this.#pending--;
  }
}

/** A power of two, so that bucket times are exact. Rounding up to it costs 0.03 % of a 50 ms piece. */
const BUCKET_MS = 1 / 64;
/** 4 s; what lies further ahead goes around more than once. */
const BUCKETS = 1 << 18;
const INITIAL_CAPACITY = 1 << 12;

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
  readonly #first = new Int32Array(BUCKETS).fill(-1);
  readonly #last = new Int32Array(BUCKETS).fill(-1);
  /** Number of the bucket under way, counted from the beginning of time. */
  #bucket = 0;
  #pending = 0;
  #free = -1;
  #capacity = 0;
  #fields = new Int32Array(0);
  #next = new Int32Array(0);
  #due = new Float64Array(0);

  constructor() {
    this.#grow(INITIAL_CAPACITY);
  }

  /** Adds an event at a time in milliseconds; one in the past comes next. */
  add(atMs: number, kind: number, a: number, b: number, c: number, d: number): void {
    if (this.#free < 0) this.#grow(this.#capacity * 2);
    const event = this.#free;
    this.#free = this.#next[event]!;
    const at = event * 5;
    const fields = this.#fields;
    fields[at] = kind;
    fields[at + 1] = a;
    fields[at + 2] = b;
    fields[at + 3] = c;
    fields[at + 4] = d;
    // Never into the bucket that is being emptied: it would come a whole revolution late.
    this.#due[event] = Math.max(Math.ceil(atMs / BUCKET_MS), this.#bucket + 1);
    this.#append(event);
    this.#pending++;
  }

  /** Takes the next event into the fields. @returns false when there is none */
  next(): boolean {
    while (this.#pending > 0) {
      const index = this.#bucket & (BUCKETS - 1);
      const event = this.#first[index]!;
      if (event < 0) {
        this.#bucket++;
        continue;
      }
      this.#first[index] = this.#next[event]!;
      if (this.#first[index] === -1) this.#last[index] = -1;
      if (this.#due[event]! > this.#bucket) {
        this.#again(event, index);
        continue;
      }
      this.#take(event);
      return true;
    }
    return false;
  }

  #take(event: number): void {
    const at = event * 5;
    const fields = this.#fields;
    this.kind = fields[at]!;
    this.a = fields[at + 1]!;
    this.b = fields[at + 2]!;
    this.c = fields[at + 3]!;
    this.d = fields[at + 4]!;
    this.now = this.#bucket * BUCKET_MS;
    this.#next[event] = this.#free;
    this.#free = event;
    this.#pending--;
  }
}

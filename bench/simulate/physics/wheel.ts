/** A power of two, so that bucket times are exact. Rounding up to it costs 0.03 % of a 50 ms piece. */
const BUCKET_MS = 1 / 64;
/** 4 s; what lies further ahead waits beside the wheel. */
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
  #far: number[] = [];
  #free = -1;
  #capacity = 0;
  #fields = new Int32Array(0);
  #next = new Int32Array(0);
  /** Bucket number of each event. */
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
    if (this.#due[event] - this.#bucket < BUCKETS) this.#append(event);
    else this.#far.push(event);
    this.#pending++;
  }

  /** Takes the next event into the fields. @returns false when there is none */
  next(): boolean {
    while (this.#pending > 0) {
      const index = this.#bucket & (BUCKETS - 1);
      const event = this.#first[index]!;
      if (event < 0) {
        this.#bucket++;
        if ((this.#bucket & (BUCKETS - 1)) === 0) this.#bringNear();
        continue;
      }
      this.#first[index] = this.#next[event]!;
      this.#take(event);
      return true;
    }
    return false;
  }

  #append(event: number): void {
    const index = this.#due[event]! & (BUCKETS - 1);
    this.#next[event] = -1;
    if (this.#first[index]! < 0) this.#first[index] = event;
    else this.#next[this.#last[index]!] = event;
    this.#last[index] = event;
  }

  /** A new revolution begins: events that fall into it go onto the wheel. */
  #bringNear(): void {
    const far = this.#far;
    this.#far = [];
    for (const event of far) {
      if (this.#due[event]! - this.#bucket < BUCKETS) this.#append(event);
      else this.#far.push(event);
    }
  }

  #grow(capacity: number): void {
    const fields = new Int32Array(capacity * 5);
    fields.set(this.#fields);
    const next = new Int32Array(capacity);
    next.set(this.#next);
    const due = new Float64Array(capacity);
    due.set(this.#due);
    for (let event = capacity - 1; event >= this.#capacity; event--) {
      next[event] = this.#free;
      this.#free = event;
    }
    this.#fields = fields;
    this.#next = next;
    this.#due = due;
    this.#capacity = capacity;
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

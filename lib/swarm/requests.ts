import type { Memory } from './memory.ts';

/**
 * What a request is. `late`: no byte came for too long, its slot and its piece are free again, but it may still win.
 * `moving`: without a slot too, but bytes come, for it was late or is much slower than usual; or it is not late yet, and
 * let go of a piece that is read from elsewhere. `storing`: all bytes are here and on their way through the proof to the
 * disk: no slot, but its piece is not to be asked again.
 */
export const RequestState = { free: 0, live: 1, late: 2, moving: 3, storing: 4 } as const;

const INITIAL_CAPACITY = 8;
/** Numbers kept for each request. */
const SIZE = 6;
const STATE = 0;
const PEER = 1;
const BLOB = 2;
const PIECE = 3;
/** When the request was made, milliseconds. */
const STARTED_AT = 4;
/** When bytes last came for it (at first: when it was made). */
const PROGRESS_AT = 5;

/** The requests of one node, live and late: one array of records. */
export class Requests {
  #end = 0;
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

  /** All requests have a number below this. */
  get end(): number {
    return this.#end;
  }

  add(peer: number, blob: number, piece: number, now: number): number {
    let request = 0;
    while (request < this.#end && this.state(request) !== RequestState.free) request++;
    if (request === this.#capacity) this.#grow();
    const at = this.#at(request);
    if (request === this.#end) this.#end++;
    const of = this.#of;
    of[at + STATE] = RequestState.live;
    of[at + PEER] = peer;
    of[at + BLOB] = blob;
    of[at + PIECE] = piece;
    of[at + STARTED_AT] = now;
    of[at + PROGRESS_AT] = now;
    return request;
  }

  remove(request: number): void {
    this.setState(request, RequestState.free);
    while (this.#end > 0 && this.state(this.#end - 1) === RequestState.free) this.#end--;
  }

  /** Whether the number names a request now. */
  known(request: number): boolean {
    return request >= 0 && request < this.#end && this.state(request) !== RequestState.free;
  }

  state(request: number): number {
    return this.#of[this.#at(request) + STATE]!;
  }

  setState(request: number, state: number): void {
    this.#of[this.#at(request) + STATE] = state;
  }

  peer(request: number): number {
    return this.#of[this.#at(request) + PEER]!;
  }

  blob(request: number): number {
    return this.#of[this.#at(request) + BLOB]!;
  }

  piece(request: number): number {
    return this.#of[this.#at(request) + PIECE]!;
  }

  startedAt(request: number): number {
    return this.#of[this.#at(request) + STARTED_AT]!;
  }

  progressAt(request: number): number {
    return this.#of[this.#at(request) + PROGRESS_AT]!;
  }

  progress(request: number, now: number): void {
    this.#of[this.#at(request) + PROGRESS_AT] = now;
  }

  #at(request: number): number {
    return this.#start + request * SIZE;
  }

  #grow(): void {
    const before = this.#of.subarray(this.#start, this.#at(this.#capacity));
    this.#capacity *= 2;
    const { array, at } = this.#memory.numbers.take(this.#capacity * SIZE);
    array.set(before, at);
    this.#of = array;
    this.#start = at;
  }
}

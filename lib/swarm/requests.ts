import { grown } from './slots.ts';

/**
 * What a request is. `late`: no byte came for too long, its slot and its piece are free again, but it may still win.
 * `moving`: without a slot too, but bytes come: it was late, or is much slower than usual. `storing`: all bytes are here
 * and on their way through the proof to the disk: no slot, but its piece is not to be asked again.
 */
export const RequestState = { free: 0, live: 1, late: 2, moving: 3, storing: 4 } as const;

const INITIAL_CAPACITY = 8;

/** The requests of one node, live and late, struct of arrays. */
export class Requests {
  /** All requests have a number below this. */
  end = 0;
  state = new Uint8Array(INITIAL_CAPACITY);
  peer = new Int32Array(INITIAL_CAPACITY);
  blob = new Int32Array(INITIAL_CAPACITY);
  piece = new Int32Array(INITIAL_CAPACITY);
  /** When the request was made, milliseconds. */
  startedAt = new Float64Array(INITIAL_CAPACITY);
  /** When bytes last came for it (at first: when it was made). */
  progressAt = new Float64Array(INITIAL_CAPACITY);

  add(peer: number, blob: number, piece: number, now: number): number {
    let request = 0;
    while (request < this.end && this.state[request] !== RequestState.free) request++;
    if (request === this.state.length) this.#grow();
    if (request === this.end) this.end++;
    this.state[request] = RequestState.live;
    this.peer[request] = peer;
    this.blob[request] = blob;
    this.piece[request] = piece;
    this.startedAt[request] = now;
    this.progressAt[request] = now;
    return request;
  }

  remove(request: number): void {
    this.state[request] = RequestState.free;
    while (this.end > 0 && this.state[this.end - 1] === RequestState.free) this.end--;
  }

  /** Whether the number names a request now. */
  known(request: number): boolean {
    return request >= 0 && request < this.end && this.state[request] !== RequestState.free;
  }

  #grow(): void {
    const size = this.state.length * 2;
    this.state = grown(this.state, new Uint8Array(size));
    this.peer = grown(this.peer, new Int32Array(size));
    this.blob = grown(this.blob, new Int32Array(size));
    this.piece = grown(this.piece, new Int32Array(size));
    this.startedAt = grown(this.startedAt, new Float64Array(size));
    this.progressAt = grown(this.progressAt, new Float64Array(size));
  }
}

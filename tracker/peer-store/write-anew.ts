import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import type { WriteBehind } from './write-behind.ts';

/** Blobs in one step: many after Redis was gone, else so that each has its turn in time. */
const FAST = 200;
const SLOW = 2;
const EVERY_MS = 20 * 60_000;

/**
 * Has the places of this tracker's members written anew, a few blobs in each step, round and round: what Redis has of us
 * never grows old, and what it lost is there again.
 */
export class WriteAnew {
  readonly #core: TrackerCore;
  readonly #writes: WriteBehind;
  readonly #isConnected: (id: string) => boolean;
  /** What is left of this round. */
  #blobs: IterableIterator<string> | undefined;
  #blobsAStep = SLOW;
  #nextRoundAtMs = 0;

  constructor(core: TrackerCore, writes: WriteBehind, isConnected: (id: string) => boolean) {
    this.#core = core;
    this.#writes = writes;
    this.#isConnected = isConnected;
  }

  /** Redis knows nothing of us: begins a fast round. */
  startOver(): void {
    this.#blobs = this.#core.blobs();
    this.#blobsAStep = FAST;
  }

  step(nowMs: number): void {
    if (this.#blobs === undefined && nowMs < this.#nextRoundAtMs) return;
    this.#blobs ??= this.#core.blobs();
    for (let step = 0; step < this.#blobsAStep; step++) {
      const next = this.#blobs.next();
      if (next.done === true) {
        this.#blobs = undefined;
        this.#blobsAStep = SLOW;
        this.#nextRoundAtMs = nowMs + EVERY_MS;
        return;
      }
      for (const { info } of this.#core.sharers(next.value)) {
        if (this.#isConnected(info.id)) this.#writes.add(next.value, info.id);
      }
    }
  }
}

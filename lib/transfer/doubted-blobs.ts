import { BoundedMap } from '../core/bounded-map.ts';
import type { Digest } from '../core/digest.ts';
import type { Clock } from '../runtime/clock.ts';

/** One wrong read of the registry is an accident, and the swarm reads again; the second is somebody's habit. */
const MOST_ACCIDENTS = 1;
/** Clients try again within minutes. */
const DOUBT_MS = 10 * 60_000;
const MAX_BLOBS = 1_000;

interface Doubt {
  readonly failures: number;
  readonly atMs: number;
}

/** Blobs that the swarm gave this node wrong, so often that its clients are better served by the registry itself. */
export class DoubtedBlobs {
  readonly #clock: Clock;
  readonly #doubts = new BoundedMap<Doubt>(MAX_BLOBS);
  /** Several clients are cut off by one and the same failure. */
  readonly #counted = new WeakSet<object>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param failure what the readers of the blob got */
  note(digest: Digest, failure: object): void {
    if (this.#counted.has(failure)) return;
    this.#counted.add(failure);
    const failures = (this.#fresh(digest)?.failures ?? 0) + 1;
    this.#doubts.set(digest, { failures, atMs: this.#clock.now() });
  }

  has(digest: Digest): boolean {
    return (this.#fresh(digest)?.failures ?? 0) > MOST_ACCIDENTS;
  }

  #fresh(digest: Digest): Doubt | undefined {
    const doubt = this.#doubts.get(digest);
    return doubt === undefined || this.#clock.now() - doubt.atMs > DOUBT_MS ? undefined : doubt;
  }
}

import { BoundedMap } from '../../core/bounded-map.ts';
import type { BlobOrigin } from '../../core/node.ts';
import type { Clock } from '../../runtime/clock.ts';

/** One wrong read of the registry is an accident, and the swarm reads again; the second is somebody's habit. */
const MOST_ACCIDENTS = 1;
/** Clients try again within minutes. */
const DOUBT_MS = 10 * 60_000;
const MAX_REPOSITORIES = 1_000;

interface Doubt {
  readonly failures: number;
  readonly atMs: number;
}

/**
 * Repositories of which the swarm gave this node wrong blobs, so often that its clients are better served by the registry
 * itself. Not single blobs: who lies about one layer lies about the next, and each would cost the client an attempt. Not
 * everything: an image that is broken in the registry must not keep others out of the swarm.
 */
export class DoubtedRepositories {
  readonly #clock: Clock;
  readonly #doubts = new BoundedMap<Doubt>(MAX_REPOSITORIES);
  /** Several clients are cut off by one and the same failure. */
  readonly #counted = new WeakSet<object>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param failure what the readers of the blob got */
  note(origin: BlobOrigin, failure: object): void {
    if (this.#counted.has(failure)) return;
    this.#counted.add(failure);
    const failures = (this.#fresh(origin)?.failures ?? 0) + 1;
    this.#doubts.set(nameOf(origin), { failures, atMs: this.#clock.now() });
  }

  has(origin: BlobOrigin): boolean {
    return (this.#fresh(origin)?.failures ?? 0) > MOST_ACCIDENTS;
  }

  #fresh(origin: BlobOrigin): Doubt | undefined {
    const doubt = this.#doubts.get(nameOf(origin));
    return doubt === undefined || this.#clock.now() - doubt.atMs > DOUBT_MS ? undefined : doubt;
  }
}

function nameOf({ repository, upstream }: BlobOrigin): string {
  return `${upstream}/${repository}`;
}

import { BoundedMap } from '../../core/bounded-map.ts';
import { type Digest, isFileKey } from '../../core/digest.ts';
import { describeError } from '../../core/errors.ts';
import type { BlobOrigin } from '../../core/node.ts';
import { SingleFlight } from '../../core/single-flight.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import type { Clock } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';

export interface OpenBlobsDeps {
  readonly origin: Pick<OriginClient, 'isPublic'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** As long as a capability lives; asked again in the second half, when somebody wants the blob. */
const OPEN_MS = 5 * 60_000;
/** A no holds for so long. */
const CLOSED_MS = 30_000;
/** Whatever peers ask for, the registry is asked of one blob no more often than this. */
const ASK_AGAIN_MS = 5_000;
/** A client waits for the answer. */
const ASK_MS = 1_000;
const MAX_BLOBS = 10_000;

interface Known {
  readonly open: boolean;
  readonly sinceMs: number;
}

/**
 * Blobs that the registry gives to anybody, as this node has seen for itself: for those peers need show no right. Asked
 * for only when no supernode is left that could say who may have a blob.
 */
export class OpenBlobs {
  readonly #deps: OpenBlobsDeps;
  readonly #placeOf: (digest: Digest) => BlobOrigin | undefined;
  readonly #known = new BoundedMap<Known>(MAX_BLOBS);
  /** When the registry was last asked. */
  readonly #asked = new BoundedMap<number>(MAX_BLOBS);
  readonly #flights = new SingleFlight<boolean>();
  readonly #ending: AbortSignal;

  /** @param placeOf where one of our clients has read the blob, if the registry may be asked of it because others want it */
  constructor(deps: OpenBlobsDeps, placeOf: (digest: Digest) => BlobOrigin | undefined, ending: AbortSignal) {
    this.#deps = deps;
    this.#placeOf = placeOf;
    this.#ending = ending;
  }

  /** What the registry has said to us; when that is old, or nothing, it is asked for the next time. */
  isOpen(digest: Digest): boolean {
    const known = this.#fresh(digest);
    const now = this.#deps.clock.now();
    const place = this.#placeOf(digest);
    const asked = this.#asked.get(digest);
    const isOld = known === undefined || now - known.sinceMs > lifeOf(known) / 2;
    if (place !== undefined && isOld && (asked === undefined || now - asked >= ASK_AGAIN_MS)) {
      void this.#ask(digest, place);
    }
    return known?.open === true;
  }

  /** Asks the registry, unless it has said so lately: within a second, whatever happens. Never rejects. */
  async check(digest: Digest, place: BlobOrigin): Promise<boolean> {
    const known = this.#fresh(digest);
    return known === undefined ? await this.#ask(digest, place) : known.open;
  }

  #fresh(digest: Digest): Known | undefined {
    const known = this.#known.get(digest);
    if (known === undefined) return undefined;
    return this.#deps.clock.now() - known.sinceMs < lifeOf(known) ? known : undefined;
  }

  async #ask(digest: Digest, { repository, upstream }: BlobOrigin): Promise<boolean> {
    const { clock, log, metrics, origin } = this.#deps;
    // Of a file at a URL only its source could say so, to each caller.
    if (this.#ending.aborted || isFileKey(digest)) return false;
    this.#asked.set(digest, clock.now());
    const ask = async (): Promise<boolean> => {
      try {
        const open = await withDeadline(clock, ASK_MS, this.#ending, (signal) =>
          origin.isPublic({ digest, origin: { upstream, repository } }, { signal }),
        );
        this.#known.set(digest, { open, sinceMs: clock.now() });
        metrics.authorization.inc({ verdict: open ? 'open' : 'not-open' });
        return open;
      } catch (error) {
        log.debug({ digest, error: describeError(error) }, 'nobody says whether anybody may read the blob');
        return false;
      }
    };
    return await this.#flights.run(`${upstream} ${repository} ${digest}`, ask, new AbortController().signal);
  }
}

function lifeOf({ open }: Known): number {
  return open ? OPEN_MS : CLOSED_MS;
}

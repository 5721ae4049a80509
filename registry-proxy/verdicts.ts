import { BoundedMap } from '../lib/core/bounded-map.ts';
import type { Digest } from '../lib/core/digest.ts';
import { SingleFlight } from '../lib/core/single-flight.ts';
import type { Metrics } from '../lib/observe/metrics.ts';
import { claimsOf } from '../lib/origin/authorization.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import type { Asker, CallerNames } from './callers.ts';
import type { Headers } from './exchange.ts';

/** What the registry said about one caller's right to read one blob or manifest. */
export type Verdict =
  | { readonly kind: 'allowed'; readonly size: number }
  /** Refused, or not there. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly headers: Headers;
      /** The registry's own words, when they are short. */
      readonly body?: Uint8Array;
    }
  /** Neither: the registry is busy or broken. Never remembered. */
  | { readonly kind: 'unclear'; readonly status: number; readonly headers: Headers };

/** A manifest, and the blobs that whoever may read it may read. */
export interface Listing {
  readonly manifest: Digest;
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
}

/** What a verdict is about: a blob, or a manifest for the blobs it lists. */
export interface Subject {
  readonly kind: 'blob' | 'manifest';
  readonly digest: Digest;
}

/** Remembers, for a short time, what each caller may read; never shared between callers or repositories. */
export interface Verdicts {
  /** The verdict remembered, or `ask`ed of the registry; askers of the same at the same time share one question. */
  of(asker: Asker, subject: Subject, ask: () => Promise<Verdict>, signal: AbortSignal): Promise<Verdict>;
  /**
   * The registry gave this caller a manifest that lists these blobs, or said that it may have it.
   * @returns those whose size no other manifest of the repository has contradicted
   */
  learn(asker: Asker, listing: Listing): Listing['blobs'];
  /**
   * A manifest that lists the blob and that the holder of this Authorization has read in this repository: asking for
   * that one answers for all its blobs. Undefined when another manifest tells another size of the blob.
   */
  listing(asker: Asker, blob: Digest): Listing | undefined;
  /** The registry said to somebody, just now, that it has the blob in this repository. */
  notePresent(repository: Omit<Asker, 'authorization'>, blob: Digest, size: number): void;
  /** The blob's size, when the registry said so within the last minute. */
  sizeIn(repository: Omit<Asker, 'authorization'>, blob: Digest): number | undefined;
  forget(asker: Asker, blob: Digest): void;
}

const ALLOWED_MS = 60_000;
const REFUSED_MS = 5_000;
/** Clients fetch a new token every few minutes, and pull an image's layers within some more. */
const LISTING_MS = 30 * 60_000;
/** For so long manifests are not believed about the size of a blob of which two have told different ones. */
const DISPUTED_MS = LISTING_MS;
/** Verdicts remembered at once, about 300 bytes each; the oldest goes first. */
const MAX_VERDICTS = 50_000;

interface Remembered {
  readonly verdict: Verdict;
  readonly untilMs: number;
}

export function createVerdicts(deps: {
  readonly clock: Clock;
  readonly wallClockMs: () => number;
  readonly metrics: Metrics;
  readonly names: CallerNames;
}): Verdicts {
  const { clock, metrics, names, wallClockMs } = deps;
  const remembered = new BoundedMap<Remembered>(MAX_VERDICTS);
  const listings = new BoundedMap<{ readonly listing: Listing; readonly untilMs: number }>(MAX_VERDICTS);
  /** What is in a repository, by registry, repository and blob. */
  const present = new BoundedMap<{ readonly size: number; readonly untilMs: number }>(MAX_VERDICTS);
  /** Blobs of which manifests tell different sizes, and until when that counts. */
  const disputed = new BoundedMap<number>(MAX_VERDICTS);
  const flights = new SingleFlight<Verdict>();

  const placeOf = ({ repository, upstream }: Omit<Asker, 'authorization'>, digest: Digest): string =>
    `${upstream} ${repository} ${digest}`;

  const keyOf = (asker: Asker, { digest, kind }: Subject): string =>
    `${kind} ${names.exact(asker)} ${digest}`;

  const valid = (key: string): Verdict | undefined => {
    const entry = remembered.get(key);
    return entry !== undefined && entry.untilMs > clock.now() ? entry.verdict : undefined;
  };

  const remember = ({ authorization }: Asker, key: string, verdict: Verdict): void => {
    if (verdict.kind === 'unclear') return;
    const lifeMs = verdict.kind === 'refused' ? REFUSED_MS : Math.min(ALLOWED_MS, tokenLifeMs(authorization));
    remembered.set(key, { verdict, untilMs: clock.now() + lifeMs });
  };

  const notePresent: Verdicts['notePresent'] = (repository, digest, size) => {
    present.set(placeOf(repository, digest), { size, untilMs: clock.now() + ALLOWED_MS });
  };

  const isDisputed = (asker: Asker, blob: Digest): boolean =>
    (disputed.get(placeOf(asker, blob)) ?? 0) > clock.now();

  /** Whether another size of the blob was told before, however long ago. */
  const contradicted = (asker: Asker, { digest, size }: Listing['blobs'][number]): boolean => {
    const verdict = valid(keyOf(asker, { kind: 'blob', digest }));
    const known = verdict?.kind === 'allowed' ? verdict.size : size;
    return known !== size || (present.get(placeOf(asker, digest))?.size ?? size) !== size;
  };

  const forget: Verdicts['forget'] = (asker, blob) => {
    present.delete(placeOf(asker, blob));
    remembered.delete(keyOf(asker, { kind: 'blob', digest: blob }));
    const listing = listings.get(`${names.holder(asker)} ${blob}`)?.listing;
    if (listing !== undefined) {
      remembered.delete(keyOf(asker, { kind: 'manifest', digest: listing.manifest }));
    }
    listings.delete(`${names.holder(asker)} ${blob}`);
  };

  /** What is left of a signed token's life: the registry would not take it afterwards, and so do we not. */
  const tokenLifeMs = (authorization: string | undefined): number => {
    const expiresAtMs = authorization === undefined ? undefined : claimsOf(authorization)?.expiresAtMs;
    return expiresAtMs === undefined ? Number.POSITIVE_INFINITY : expiresAtMs - wallClockMs();
  };

  return {
    async of(asker, subject, ask, signal) {
      const key = keyOf(asker, subject);
      const known = valid(key);
      if (known !== undefined) {
        metrics.authorization.inc({ verdict: 'remembered' });
        return known;
      }
      const asking = async (): Promise<Verdict> => {
        const verdict = await ask();
        metrics.authorization.inc({ verdict: verdict.kind });
        remember(asker, key, verdict);
        return verdict;
      };
      return await flights.run(key, asking, signal);
    },
    learn(asker, listing) {
      const holder = names.holder(asker);
      const untilMs = clock.now() + LISTING_MS;
      return listing.blobs.filter((blob) => {
        const { digest, size } = blob;
        if (contradicted(asker, blob)) {
          // Whoever pushes may write any size of another image's layer: the registry itself is to say which is right.
          disputed.set(placeOf(asker, digest), clock.now() + DISPUTED_MS);
          forget(asker, digest);
        }
        if (isDisputed(asker, digest)) return false;
        remember(asker, keyOf(asker, { kind: 'blob', digest }), { kind: 'allowed', size });
        notePresent(asker, digest, size);
        listings.set(`${holder} ${digest}`, { listing, untilMs });
        return true;
      });
    },
    listing(asker, blob) {
      const found = listings.get(`${names.holder(asker)} ${blob}`);
      const counts = found !== undefined && found.untilMs > clock.now() && !isDisputed(asker, blob);
      return counts ? found.listing : undefined;
    },
    notePresent,
    sizeIn(repository, blob) {
      const found = present.get(placeOf(repository, blob));
      return found !== undefined && found.untilMs > clock.now() ? found.size : undefined;
    },
    forget,
  };
}

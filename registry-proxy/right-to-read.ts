import type { BlobSource } from '../lib/core/blob-source.ts';
import type { Digest } from '../lib/core/digest.ts';
import type { Metrics } from '../lib/observe/metrics.ts';
import { isWorthRetrying, type OriginClient } from '../lib/origin/origin-client.ts';
import type { Asker } from './callers.ts';
import { type ClientExchange, callerHeaders, type Headers, originOf } from './exchange.ts';
import { isAwayAnswer, type LastKnown } from './last-known.ts';
import { askForBlob, askForManifest } from './questions.ts';
import type { Verdict, Verdicts } from './verdicts.ts';

export interface RightDeps {
  readonly origin: OriginClient;
  readonly blobs: BlobSource;
  readonly verdicts: Verdicts;
  readonly lastKnown: LastKnown;
  readonly metrics: Metrics;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** Fires when the proxy closes: ends questions that several clients share. */
  readonly closing: AbortSignal;
}

/** A verdict, and what its answer has to say besides. */
export type Right = Verdict & { readonly notes?: Headers };

/**
 * Whether the caller may read a blob: the registry's word of now, or of the last minute. While the registry is away, what
 * it said last, where the policy allows that.
 * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, ABORTED
 */
export async function rightToRead(deps: RightDeps, exchange: ClientExchange, digest: Digest): Promise<Right> {
  const { lastKnown, verdicts } = deps;
  const { upstream, signal } = exchange;
  const asker = askerOf(exchange);
  const proven = provenRight(deps, asker, digest);
  if (proven !== undefined) return proven;
  const stale = (): Right | undefined => {
    const found = lastKnown.blob(asker, digest);
    return found === undefined
      ? undefined
      : { kind: 'allowed', size: found.value.size, notes: found.headers };
  };
  const atOnce = lastKnown.isAway(upstream) ? stale() : undefined;
  if (atOnce !== undefined) return atOnce;
  const ask = async (): Promise<Verdict> => {
    const verdict = await askRegistry(deps, exchange, digest);
    if (!isAwayAnswer(verdict)) lastKnown.noteBlob(asker, digest, verdict);
    return verdict;
  };
  try {
    const verdict = await verdicts.of(asker, { kind: 'blob', digest }, ask, signal);
    if (!isAwayAnswer(verdict)) return verdict;
    lastKnown.noteAway(upstream);
    return stale() ?? verdict;
  } catch (error) {
    if (!isWorthRetrying(error)) throw error;
    lastKnown.noteAway(upstream);
    const kept = stale();
    if (kept === undefined) throw error;
    return kept;
  }
}

/**
 * The right that a signed token proves, where the upstream says that tokens do. A token is about a repository: that the
 * blob is in it, the registry must have said to somebody.
 */
function provenRight(
  { metrics, origin, verdicts, wallClockMs }: RightDeps,
  asker: Asker,
  digest: Digest,
): Verdict | undefined {
  const { authorization } = asker;
  const size = authorization === undefined ? undefined : verdicts.sizeIn(asker, digest);
  if (authorization === undefined || size === undefined) return undefined;
  if (!origin.provesRight({ ...asker, authorization, wallMs: wallClockMs() })) return undefined;
  metrics.authorization.inc({ verdict: 'proven' });
  return { kind: 'allowed', size };
}

/** Whose right it is. */
export function askerOf({ upstream, repository, request }: ClientExchange): Asker {
  return { upstream, repository, authorization: request.headers.authorization };
}

/**
 * Clients use several tokens a pull: with a new one, one question about the manifest answers for all of its blobs.
 * Where that has no answer, the blob itself is asked for.
 */
async function askRegistry(deps: RightDeps, exchange: ClientExchange, digest: Digest): Promise<Verdict> {
  const { closing, origin, verdicts } = deps;
  const { upstream, repository } = exchange;
  const asker = askerOf(exchange);
  const question = { upstream, repository, headers: callerHeaders(exchange) };
  const listing = verdicts.listing(asker, digest);
  const size = listing?.blobs.find((blob) => blob.digest === digest)?.size;
  if (listing !== undefined && size !== undefined) {
    const { manifest } = listing;
    const ask = (): Promise<Verdict> => askForManifest(origin, { ...question, digest: manifest }, closing);
    const verdict = await verdicts.of(asker, { kind: 'manifest', digest: manifest }, ask, closing);
    if (verdict.kind === 'allowed') {
      const believed = verdicts.learn(asker, listing);
      for (const blob of believed) {
        deps.lastKnown.noteBlob(asker, blob.digest, { ...verdict, size: blob.size });
      }
      if (believed.some((blob) => blob.digest === digest)) return { kind: 'allowed', size };
    }
    if (verdict.kind === 'unclear') return verdict;
  }
  const subject = { origin: originOf(exchange), kind: 'blob', digest } as const;
  const right = await deps.blobs.right?.(subject, { signal: closing });
  const verdict: Verdict =
    right?.size === undefined
      ? await askForBlob(origin, { ...question, digest }, closing)
      : { kind: 'allowed', size: right.size };
  if (verdict.kind === 'allowed') verdicts.notePresent(asker, digest, verdict.size);
  return verdict;
}

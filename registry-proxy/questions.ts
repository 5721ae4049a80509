import type { Digest } from '../lib/core/digest.ts';
import { hasCode } from '../lib/core/errors.ts';
import { MANIFEST_ACCEPT, OCTET_STREAM } from '../lib/oci/media-types.ts';
import { discard, readBody } from '../lib/origin/exchange.ts';
import type { OriginClient, OriginResponse } from '../lib/origin/origin-client.ts';
import { type Headers, oneHeader, relayedHeaders } from './exchange.ts';
import type { Verdict } from './verdicts.ts';

/** Answers that are about the caller or the blob, and stand; all others are about the registry's state. */
const REFUSALS = [401, 403, 404];
/**
 * A HEAD answered like this is followed by a GET of one byte: registries that redirect HEAD to storage which only takes
 * GET answer so, and only a GET has the registry's words for its client.
 */
const ASKED_BY_GET = [400, 401, 403, 404, 405, 501];
/** Headers of a refusal that are about it, and not about the body that came with it. */
const TOLD_WITH_REFUSALS = /^(?:www-authenticate|retry-after|warning|(?:docker-)?ratelimit-.*)$/;
/** Longer words of a registry are not passed on. */
const MAX_REFUSAL_BYTES = 1024;

/** What is asked of a registry, with whose headers. */
export interface Question {
  readonly upstream: string;
  readonly repository: string;
  readonly digest: Digest;
  readonly headers: Headers;
}

/**
 * Asks whether the caller of `headers` may read a manifest now. Its size is nobody's question: it is told as 0.
 * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, ABORTED
 */
export async function askForManifest(
  origin: OriginClient,
  { digest, headers, repository, upstream }: Question,
  signal: AbortSignal,
): Promise<Verdict> {
  const path = `/v2/${repository}/manifests/${digest}`;
  const asked = { ...headers, accept: MANIFEST_ACCEPT };
  const answer = await origin.request({ upstream, method: 'HEAD', path, headers: asked }, { signal });
  await discard(answer);
  return answer.status === 200 ? { kind: 'allowed', size: 0 } : notAllowed(answer);
}

/**
 * Asks whether the caller of `headers` may read a blob now, and how long the blob is.
 * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, ABORTED
 */
export async function askForBlob(
  origin: OriginClient,
  { digest, headers, repository, upstream }: Question,
  signal: AbortSignal,
): Promise<Verdict> {
  const path = `/v2/${repository}/blobs/${digest}`;
  const head = await origin.request({ upstream, method: 'HEAD', path, headers }, { signal });
  await discard(head);
  const size = sizeOf(head);
  if (size !== undefined) return { kind: 'allowed', size };
  if (head.status !== 200 && !ASKED_BY_GET.includes(head.status)) return notAllowed(head);
  const probe = await origin.request(
    { upstream, method: 'GET', path, headers: { ...headers, range: 'bytes=0-0' } },
    { signal },
  );
  const probed = sizeOf(probe);
  if (probed !== undefined || probe.status < 400) {
    await discard(probe);
    return probed === undefined ? notAllowed(probe) : { kind: 'allowed', size: probed };
  }
  const body = await wordsOf(probe);
  const verdict = notAllowed(probe);
  if (verdict.kind !== 'refused' || body === undefined) return verdict;
  const type = oneHeader(probe, 'content-type') ?? OCTET_STREAM;
  return { ...verdict, headers: { ...verdict.headers, 'content-type': type }, body };
}

/** The body of a refusal, when it is short. */
async function wordsOf(answer: OriginResponse): Promise<Uint8Array | undefined> {
  try {
    return await readBody(answer, MAX_REFUSAL_BYTES);
  } catch (error) {
    if (hasCode(error, 'ABORTED')) throw error;
    return undefined;
  }
}

/** Size of the blob when the answer means that it may be read. */
function sizeOf(answer: OriginResponse): number | undefined {
  if (answer.status === 200) return numberIn(/^(\d{1,15})$/, oneHeader(answer, 'content-length'));
  // 416: even byte 0 lies outside, so the blob is there and empty.
  const expected =
    answer.status === 206
      ? /^bytes \d+-\d+\/(\d{1,15})$/i
      : answer.status === 416
        ? /^bytes \*\/(0)$/i
        : /^never$/;
  return numberIn(expected, oneHeader(answer, 'content-range'));
}

function numberIn(pattern: RegExp, value: string | undefined): number | undefined {
  const digits = value === undefined ? undefined : pattern.exec(value)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function notAllowed(answer: OriginResponse): Exclude<Verdict, { kind: 'allowed' }> {
  const told = Object.entries(relayedHeaders(answer));
  const headers: Headers = Object.fromEntries(told.filter(([name]) => TOLD_WITH_REFUSALS.test(name)));
  // An answer that is a success but shows no size is a fault of the registry.
  const status = answer.status < 400 ? 502 : answer.status;
  return { kind: REFUSALS.includes(status) ? 'refused' : 'unclear', status, headers };
}

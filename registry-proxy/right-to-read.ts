import { discard } from '../lib/origin/exchange.ts';
import type { OriginClient, OriginResponse } from '../lib/origin/origin-client.ts';
import { type Headers, oneHeader, relayedHeaders } from './exchange.ts';
import type { Verdict } from './verdicts.ts';

/** Answers that are about the caller or the blob, and stand; all others are about the registry's state. */
const REFUSALS = [401, 403, 404];
/** Registries that redirect HEAD to storage which only takes GET answer like this. */
const HEAD_NOT_TAKEN = [400, 403, 405, 501];

/**
 * Asks the registry whether the caller of `headers` may read a blob now, and how long the blob is.
 * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, ABORTED
 */
export async function askRightToRead(
  origin: OriginClient,
  question: {
    readonly upstream: string;
    readonly repository: string;
    readonly digest: string;
    readonly headers: Headers;
  },
  signal: AbortSignal,
): Promise<Verdict> {
  const path = `/v2/${question.repository}/blobs/${question.digest}`;
  const { upstream, headers } = question;
  const head = await origin.request({ upstream, method: 'HEAD', path, headers }, { signal });
  await discard(head);
  const size = sizeOf(head);
  if (size !== undefined) return { kind: 'allowed', size };
  if (head.status !== 200 && !HEAD_NOT_TAKEN.includes(head.status)) return notAllowed(head);
  const probe = await origin.request(
    { upstream, method: 'GET', path, headers: { ...headers, range: 'bytes=0-0' } },
    { signal },
  );
  const probed = sizeOf(probe);
  await discard(probe);
  return probed === undefined ? notAllowed(probe) : { kind: 'allowed', size: probed };
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

function notAllowed(answer: OriginResponse): Verdict {
  const { 'www-authenticate': challenge, 'retry-after': retryAfter, warning } = relayedHeaders(answer);
  const headers: Headers = {
    ...(challenge === undefined ? {} : { 'www-authenticate': challenge }),
    ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
    ...(warning === undefined ? {} : { warning }),
  };
  // An answer that is a success but shows no size is a fault of the registry.
  const status = answer.status < 400 ? 502 : answer.status;
  return { kind: REFUSALS.includes(status) ? 'refused' : 'unclear', status, headers };
}

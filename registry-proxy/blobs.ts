import { type Digest, isDigest } from '../lib/core/digest.ts';
import { DamselflyError, describeError, hasCode } from '../lib/core/errors.ts';
import { contentRange, parseRange, type RangeRequest } from '../lib/core/range.ts';
import type { Logger } from '../lib/observe/log.ts';
import { OCTET_STREAM } from '../lib/oci/media-types.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { relayAnswer, sendError } from './answer.ts';
import { type BlobAnswer, sendBlobBody } from './blob-body.ts';
import { type ClientExchange, callerHeaders, commonHeaders, originOf } from './exchange.ts';
import { isMatch } from './if-none-match.ts';
import { askerOf, type RightDeps, rightToRead } from './right-to-read.ts';
import type { Verdict } from './verdicts.ts';

export interface BlobDeps extends RightDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** See RegistryProxyDeps. */
  readonly isPaused?: (upstream: string) => boolean;
}

/**
 * GET and HEAD of a blob: first the caller's right to read it, asked of the registry, then the bytes from the source.
 * @throws UPSTREAM_*, DIGEST_MISMATCH, BLOB_UNKNOWN, ABORTED; after the headers too
 */
export async function answerBlob(deps: BlobDeps, exchange: ClientExchange, digest: string): Promise<void> {
  const startedMs = deps.clock.now();
  if (!isDigest(digest)) {
    await relayBlob(deps, exchange, digest);
    return;
  }
  if (deps.isPaused?.(exchange.upstream) === true) {
    deps.metrics.fallback.inc({ reason: 'paused' });
    await relayBlob(deps, exchange, digest);
    return;
  }
  const verdict = await rightToRead(deps, exchange, digest);
  if (verdict.kind !== 'allowed') {
    refuse(exchange, verdict);
    return;
  }
  const { request, response } = exchange;
  const { size } = verdict;
  const etag = `"${digest}"`;
  const common = {
    ...commonHeaders(exchange),
    ...verdict.notes,
    'accept-ranges': 'bytes',
    'docker-content-digest': digest,
    etag,
  };
  if (isMatch(request.headers['if-none-match'], etag)) {
    response.writeHead(304, common);
    response.end();
    return;
  }
  const part = rangeOf(exchange, size, etag);
  if (part.kind === 'unsatisfiable') {
    const message = `the range lies outside the blob of ${size} bytes`;
    sendError(
      response,
      { status: 416, code: 'RANGE_INVALID', message },
      { ...common, 'content-range': `bytes */${size}` },
    );
    return;
  }
  const length = part.kind === 'part' ? part.range.end - part.range.start : size;
  const headers = {
    ...common,
    'content-type': OCTET_STREAM,
    'content-length': String(length),
    ...(part.kind === 'part' ? { 'content-range': contentRange(part.range, size) } : {}),
  };
  const answer = { status: part.kind === 'part' ? 206 : 200, headers, length, startedMs };
  if (request.method === 'HEAD') {
    response.writeHead(answer.status, headers);
    response.end();
    return;
  }
  await sendBlob(deps, exchange, { digest, size, part, answer });
}

interface BlobToSend {
  readonly digest: Digest;
  readonly size: number;
  readonly part: RangeRequest;
  readonly answer: BlobAnswer;
}

async function sendBlob(
  deps: BlobDeps,
  exchange: ClientExchange,
  { digest, size, part, answer }: BlobToSend,
): Promise<void> {
  const { upstream, repository, response, signal } = exchange;
  const observe = (outcome: string): void =>
    deps.metrics.pullSeconds.observe({ outcome }, (deps.clock.now() - answer.startedMs) / 1000);
  const origin = originOf(exchange);
  const range = part.kind === 'part' ? { range: part.range, rangeIs: meaningOf(exchange) } : {};
  try {
    const chunks = deps.blobs.open({ digest, size, origin, ...range, askedMs: answer.startedMs }, { signal });
    await sendBlobBody(deps, response, answer, chunks, signal);
    observe('complete');
  } catch (error) {
    const aborted = hasCode(error, 'ABORTED') || signal.aborted;
    observe(aborted ? 'aborted' : 'failed');
    if (aborted) throw error;
    deps.log.warn({ upstream, repository, digest, error: describeError(error) }, 'a blob could not be sent');
    if (response.headersSent || !hasCode(error, 'UPSTREAM_REFUSED')) throw error;
    // The registry has changed its mind since the verdict: its word of now, with its challenge, is the answer.
    deps.verdicts.forget(askerOf(exchange), digest);
    const verdict = await rightToRead(deps, exchange, digest);
    if (verdict.kind === 'allowed') {
      // Not this caller is refused, but whoever read on its behalf: told as 401 it would send the caller to log in.
      throw new DamselflyError(
        'UPSTREAM_BROKEN',
        'the registry allows the blob to be read and does not give it',
        { digest },
        { cause: error },
      );
    }
    refuse(exchange, verdict);
  }
}

const REFUSAL_CODES = {
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  404: 'BLOB_UNKNOWN',
  429: 'TOOMANYREQUESTS',
} as const;

/** The registry's own answer, word for word where it is known. */
function refuse(exchange: ClientExchange, verdict: Exclude<Verdict, { kind: 'allowed' }>): void {
  const { request, response } = exchange;
  const headers = { ...commonHeaders(exchange), ...verdict.headers };
  if (verdict.kind === 'refused' && verdict.body !== undefined) {
    response.writeHead(verdict.status, { ...headers, 'content-length': String(verdict.body.length) });
    response.end(request.method === 'HEAD' ? undefined : verdict.body);
    return;
  }
  const code = REFUSAL_CODES[verdict.status as keyof typeof REFUSAL_CODES] ?? 'UNAVAILABLE';
  const message = `the registry answered ${verdict.status} when asked for the blob`;
  sendError(response, { status: verdict.status, code, message }, headers);
}

function rangeOf({ request }: ClientExchange, size: number, etag: string): RangeRequest {
  const condition = request.headers['if-range'];
  if (request.method !== 'GET' || (condition !== undefined && condition !== etag)) return { kind: 'whole' };
  return parseRange(request.headers.range, size);
}

/** Clients that resume, and those that read a blob in pieces, leave the end open; lazy ones say what they want. */
function meaningOf({ request }: ClientExchange): 'rest' | 'part' {
  return /-\s*$/.test(request.headers.range ?? '') ? 'rest' : 'part';
}

/** From the registry to the client, and nowhere else: blobs that nobody here can verify, and all when paused. */
async function relayBlob(deps: BlobDeps, exchange: ClientExchange, digest: string): Promise<void> {
  const { upstream, repository, request, signal } = exchange;
  const headers = callerHeaders(exchange, ['range', 'if-range', 'if-none-match']);
  const path = `/v2/${repository}/blobs/${digest}`;
  const answer = await deps.origin.request(
    { upstream, method: request.method ?? 'GET', path, headers },
    { signal },
  );
  await relayAnswer(deps, exchange, answer);
}

import type { BlobSource } from '../lib/core/blob-source.ts';
import { type Digest, digestAlgorithm, digestOf, isDigest } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { MAX_MANIFEST_BYTES } from '../lib/oci/manifest.ts';
import { vouchedBlobs } from '../lib/oci/vouched-blobs.ts';
import { discard, readBody } from '../lib/origin/exchange.ts';
import { isWorthRetrying, type OriginClient, type OriginResponse } from '../lib/origin/origin-client.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { relayAnswer, sendError } from './answer.ts';
import { askAgain } from './ask-again.ts';
import {
  type ClientExchange,
  callerHeaders,
  commonHeaders,
  type Headers,
  oneHeader,
  originOf,
  relayedHeaders,
} from './exchange.ts';
import { isMatch } from './if-none-match.ts';
import { isAwayAnswer, type LastKnown } from './last-known.ts';
import { askerOf } from './right-to-read.ts';
import type { Verdicts } from './verdicts.ts';

export interface ManifestDeps {
  readonly origin: OriginClient;
  readonly blobs: BlobSource;
  readonly verdicts: Verdicts;
  readonly lastKnown: LastKnown;
  readonly clock: Clock;
  /** See RegistryProxyDeps. */
  readonly isPaused?: (upstream: string) => boolean;
}

/** Answers of registries that have the manifest and do not take HEAD for it. */
const HEAD_NOT_TAKEN = [405, 501];
/** Signed manifests of Docker's first schema: their digest is that of a part of them. */
const SIGNED = 'application/vnd.docker.distribution.manifest.v1+';

/**
 * GET and HEAD of a manifest: always the registry's own answer to this caller, now; while the registry is away, where the
 * policy allows that, what it last gave this caller. A manifest that does not have the digest it was asked by, or was said
 * to have, goes no further.
 * @throws UPSTREAM_*, DIGEST_MISMATCH, ABORTED
 */
export async function answerManifest(
  deps: ManifestDeps,
  exchange: ClientExchange,
  reference: string,
): Promise<void> {
  const { lastKnown } = deps;
  const { upstream, signal } = exchange;
  if (lastKnown.isAway(upstream) && sendKept(deps, exchange, reference)) return;
  let asked: Asked;
  try {
    asked =
      (await askSupernode(deps, exchange, reference)) ?? (await askForManifest(deps, exchange, reference));
  } catch (error) {
    if (signal.aborted || !isWorthRetrying(error)) throw error;
    lastKnown.noteAway(upstream);
    if (sendKept(deps, exchange, reference)) return;
    throw error;
  }
  if (isAwayAnswer(asked.answer)) {
    lastKnown.noteAway(upstream);
    if (sendKept(deps, exchange, reference)) {
      await discard(asked.answer);
      return;
    }
  }
  await relayManifest(deps, exchange, reference, asked);
}

interface Asked {
  readonly answer: OriginResponse;
  /** Whether it came without a body. */
  readonly isHead: boolean;
}

/**
 * A manifest by digest from a supernode, which asks the registry whether this caller may read it: so one question to the
 * registry serves this client, and the peers that are to give us the blobs. Undefined: ask the registry.
 */
async function askSupernode(
  { blobs, isPaused }: ManifestDeps,
  exchange: ClientExchange,
  reference: string,
): Promise<Asked | undefined> {
  const { request, signal, upstream } = exchange;
  if (request.method !== 'GET' || !isDigest(reference) || isPaused?.(upstream) === true) return undefined;
  const origin = originOf(exchange);
  const right = await blobs.right?.({ origin, kind: 'manifest', digest: reference }, { signal });
  if (right?.manifest === undefined) return undefined;
  const { bytes, mediaType } = right.manifest;
  const headers = {
    'content-type': mediaType,
    'content-length': String(bytes.length),
    'docker-content-digest': reference,
  };
  return { answer: { status: 200, headers, body: once(bytes) }, isHead: false };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** As the client asks; by GET where HEAD leaves out what clients then GET the manifest for. */
async function askForManifest(
  { clock, origin }: ManifestDeps,
  exchange: ClientExchange,
  reference: string,
): Promise<Asked> {
  const { upstream, repository, request, signal } = exchange;
  const path = `/v2/${repository}/manifests/${reference}`;
  const headers = callerHeaders(exchange, ['if-none-match']);
  const ask = (method: string): Promise<OriginResponse> =>
    askAgain(clock, () => origin.request({ upstream, method, path, headers }, { signal }), signal);
  const answer = await ask(request.method ?? 'GET');
  if (request.method !== 'HEAD') return { answer, isHead: false };
  return saysLittle(answer) ? { answer: await ask('GET'), isHead: false } : { answer, isHead: true };
}

/** The registry's answer, checked, passed on and remembered. */
async function relayManifest(
  deps: ManifestDeps,
  exchange: ClientExchange,
  reference: string,
  { answer, isHead }: Asked,
): Promise<void> {
  const { request, response } = exchange;
  const asker = askerOf(exchange);
  const { accept = '' } = request.headers;
  if (answer.status !== 200) {
    if ([401, 403, 404].includes(answer.status)) deps.lastKnown.forgetManifest(asker, reference, accept);
    if (answer.status === 401) {
      deps.lastKnown.noteChallenge(asker, oneHeader(answer, 'www-authenticate') ?? '');
    }
    await relayAnswer(deps, exchange, answer);
    return;
  }
  const told = oneHeader(answer, 'docker-content-digest');
  const mediaType = oneHeader(answer, 'content-type') ?? '';
  const digests = [reference, told].filter((text) => text !== undefined).filter(isDigest);
  if (isHead) {
    requireAgreement(digests);
    const [digest] = digests;
    const size = Number(oneHeader(answer, 'content-length') ?? Number.NaN);
    if (digest !== undefined && Number.isSafeInteger(size)) {
      deps.lastKnown.noteManifest(asker, reference, accept, { digest, mediaType, size });
    }
    await relayAnswer(deps, exchange, answer);
    return;
  }
  const body = await readManifest(answer);
  const signed = mediaType.startsWith(SIGNED);
  if (!signed) for (const digest of digests) requireDigest(body, digest);
  const digest = digests[0] ?? digestOf(body);
  const blobs = vouchedBlobs(body);
  const believed = deps.verdicts.learn(asker, { manifest: digest, blobs });
  for (const { digest: blob, size } of believed) {
    deps.lastKnown.noteBlob(asker, blob, { kind: 'allowed', size });
  }
  deps.lastKnown.noteManifest(asker, reference, accept, { digest, mediaType, size: body.length, body });
  const answered: Headers = {
    etag: `"${digest}"`,
    ...relayedHeaders(answer),
    ...commonHeaders(exchange),
    'docker-content-digest': digest,
  };
  if (isMatch(request.headers['if-none-match'], `"${digest}"`)) {
    delete answered['content-length'];
    response.writeHead(304, answered);
    response.end();
    return;
  }
  if (request.method === 'GET' && deps.isPaused?.(exchange.upstream) !== true) {
    const origin = originOf(exchange);
    deps.blobs.prepare?.(blobs.map(({ digest: blob, size }) => ({ digest: blob, size, origin })));
  }
  response.writeHead(200, { ...answered, 'content-length': String(body.length) });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Whether a HEAD leaves out what clients then GET the manifest for. */
function saysLittle(answer: OriginResponse): boolean {
  const told = ['docker-content-digest', 'content-length'].every((name) => oneHeader(answer, name));
  return HEAD_NOT_TAKEN.includes(answer.status) || (answer.status === 200 && !told);
}

/** Answers with what the registry last gave this caller. @returns false when there is nothing that may be given */
function sendKept({ lastKnown }: ManifestDeps, exchange: ClientExchange, reference: string): boolean {
  const { request, response } = exchange;
  const asker = askerOf(exchange);
  const kept = lastKnown.manifest(asker, reference, request.headers.accept ?? '');
  const head = request.method === 'HEAD';
  if (kept === undefined || (!head && kept.value.body === undefined)) {
    const challenge = lastKnown.challenge(asker);
    if (challenge === undefined) return false;
    const message = 'the registry does not answer; it asked for a name and a password before';
    const headers = { ...commonHeaders(exchange), ...challenge.headers, 'www-authenticate': challenge.value };
    sendError(response, { status: 401, code: 'UNAUTHORIZED', message }, headers);
    return true;
  }
  const { body, digest, mediaType, size } = kept.value;
  response.writeHead(200, {
    ...commonHeaders(exchange),
    ...kept.headers,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'content-type': mediaType,
    'content-length': String(size),
  });
  response.end(head ? undefined : body);
  return true;
}

async function readManifest(answer: OriginResponse): Promise<Uint8Array> {
  const encoding = oneHeader(answer, 'content-encoding');
  if (encoding !== undefined && encoding !== 'identity') {
    throw new DamselflyError(
      'UPSTREAM_BROKEN',
      'the registry encoded a manifest, though it was asked not to',
      { encoding },
    );
  }
  return await readBody(answer, MAX_MANIFEST_BYTES);
}

function requireDigest(body: Uint8Array, digest: Digest): void {
  const actual = digestOf(body, digestAlgorithm(digest));
  if (actual !== digest) {
    throw new DamselflyError('DIGEST_MISMATCH', 'the registry sent a manifest with another digest', {
      digest,
      actual,
    });
  }
}

function requireAgreement([asked, told]: readonly Digest[]): void {
  if (asked === undefined || told === undefined || asked === told) return;
  // The same manifest has one digest in each algorithm: only two of one kind can contradict each other.
  if (digestAlgorithm(asked) !== digestAlgorithm(told)) return;
  throw new DamselflyError('DIGEST_MISMATCH', 'the registry names another digest than it was asked for', {
    asked,
    told,
  });
}

import { type Digest, digestAlgorithm, digestOf, isDigest } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, parseManifest } from '../lib/oci/manifest.ts';
import { isForeignLayer } from '../lib/oci/media-types.ts';
import { readBody } from '../lib/origin/exchange.ts';
import type { OriginClient, OriginResponse } from '../lib/origin/origin-client.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { relayAnswer } from './answer.ts';
import {
  type ClientExchange,
  callerHeaders,
  commonHeaders,
  type Headers,
  oneHeader,
  relayedHeaders,
} from './exchange.ts';
import { isMatch } from './if-none-match.ts';
import type { Verdicts } from './verdicts.ts';

/** Answers of registries that have the manifest and do not take HEAD for it. */
const HEAD_NOT_TAKEN = [405, 501];
/** Signed manifests of Docker's first schema: their digest is that of a part of them. */
const SIGNED = 'application/vnd.docker.distribution.manifest.v1+';

/**
 * GET and HEAD of a manifest: always the registry's own answer to this caller, now. A manifest that does not have the
 * digest it was asked by, or was said to have, goes no further.
 * @throws UPSTREAM_*, DIGEST_MISMATCH, ABORTED
 */
export async function answerManifest(
  deps: { readonly origin: OriginClient; readonly verdicts: Verdicts; readonly clock: Clock },
  exchange: ClientExchange,
  reference: string,
): Promise<void> {
  const { upstream, repository, request, response, signal } = exchange;
  const path = `/v2/${repository}/manifests/${reference}`;
  const headers = callerHeaders(exchange, ['if-none-match']);
  const ask = (method: string): Promise<OriginResponse> =>
    deps.origin.request({ upstream, method, path, headers }, { signal });
  let answer = await ask(request.method ?? 'GET');
  if (request.method === 'HEAD') {
    if (!saysLittle(answer)) {
      await relayHead(deps, exchange, answer, reference);
      return;
    }
    answer = await ask('GET');
  }
  if (answer.status !== 200) {
    await relayAnswer(deps, exchange, answer);
    return;
  }
  const body = await readManifest(answer);
  const told = oneHeader(answer, 'docker-content-digest');
  const digests = [reference, told].filter((text) => text !== undefined).filter(isDigest);
  const signed = oneHeader(answer, 'content-type')?.startsWith(SIGNED) === true;
  if (!signed) for (const digest of digests) requireDigest(body, digest);
  deps.verdicts.learn(
    { upstream, repository, authorization: request.headers.authorization },
    listedBlobs(body),
  );
  const digest = digests[0] ?? digestOf(body);
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
  response.writeHead(200, { ...answered, 'content-length': String(body.length) });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Whether a HEAD leaves out what clients then GET the manifest for. */
function saysLittle(answer: OriginResponse): boolean {
  const told = ['docker-content-digest', 'content-length'].every((name) => oneHeader(answer, name));
  return HEAD_NOT_TAKEN.includes(answer.status) || (answer.status === 200 && !told);
}

async function relayHead(
  deps: { readonly clock: Clock },
  exchange: ClientExchange,
  answer: OriginResponse,
  reference: string,
): Promise<void> {
  const told = oneHeader(answer, 'docker-content-digest');
  const digests = [reference, told].filter((text) => text !== undefined).filter(isDigest);
  if (answer.status === 200) requireAgreement(digests);
  await relayAnswer(deps, exchange, answer);
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

/**
 * Blobs that a manifest vouches for. Not those whose bytes live elsewhere: a registry lets anyone list such a digest
 * without having it, and reading one's own manifest must not open another's blob.
 */
function listedBlobs(body: Uint8Array): Descriptor[] {
  const manifest = parseManifest(body);
  if (manifest.kind !== 'image') return [];
  const blobs = manifest.config === undefined ? manifest.layers : [manifest.config, ...manifest.layers];
  return blobs.filter(({ urls, mediaType }) => urls === undefined && !isForeignLayer(mediaType));
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

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
import type { Verdicts } from './verdicts.ts';

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
  const method = request.method ?? 'GET';
  const answer = await deps.origin.request(
    {
      upstream,
      method,
      path: `/v2/${repository}/manifests/${reference}`,
      headers: callerHeaders(exchange, ['if-none-match']),
    },
    { signal },
  );
  if (answer.status !== 200) {
    await relayAnswer(deps, exchange, answer);
    return;
  }
  const told = oneHeader(answer, 'docker-content-digest');
  const digests = [reference, told].filter((text) => text !== undefined).filter(isDigest);
  if (method === 'HEAD') {
    requireAgreement(digests);
    await relayAnswer(deps, exchange, answer, digestHeader(digests[0]));
    return;
  }
  const body = await readManifest(answer);
  for (const digest of digests) requireDigest(body, digest);
  deps.verdicts.learn(
    { upstream, repository, authorization: request.headers.authorization },
    listedBlobs(body),
  );
  response.writeHead(200, {
    ...relayedHeaders(answer),
    ...commonHeaders(exchange),
    ...digestHeader(digests[0] ?? digestOf(body)),
    'content-length': String(body.length),
  });
  response.end(body);
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

function digestHeader(digest: Digest | undefined): Headers {
  return digest === undefined ? {} : { 'docker-content-digest': digest };
}

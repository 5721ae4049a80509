import { digestAlgorithm, digestOf, isDigest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { MANIFEST_ACCEPT } from '../oci/media-types.ts';
import { askAsReader, type ReaderDeps } from './ask-as-reader.ts';
import { readBody } from './exchange.ts';
import type { ManifestBody, ManifestRead } from './origin-client.ts';

/** Reads a manifest from an upstream. Contract: `OriginClient.readManifest`. */
export async function readManifest(
  deps: ReaderDeps,
  read: ManifestRead,
  signal: AbortSignal,
): Promise<ManifestBody> {
  const { origin, reference } = read;
  const url = deps.upstreamAt(`/v2/${origin.repository}/manifests/${reference}`);
  const response = await askAsReader(
    deps,
    { kind: 'manifest', url, headers: { accept: MANIFEST_ACCEPT }, origin },
    signal,
  );
  const bytes = await readBody(response, MAX_MANIFEST_BYTES);
  const digest = digestOf(bytes, isDigest(reference) ? digestAlgorithm(reference) : 'sha256');
  if (isDigest(reference) && digest !== reference) {
    throw new DamselflyError('UPSTREAM_BROKEN', 'the registry sent another manifest than the digest names', {
      expected: reference,
      actual: digest,
    });
  }
  const mediaType = response.headers['content-type'];
  return { bytes, digest, mediaType: typeof mediaType === 'string' ? mediaType : '' };
}

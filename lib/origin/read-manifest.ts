import { digestAlgorithm, digestOf, isDigest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { MANIFEST_ACCEPT } from '../oci/media-types.ts';
import { askAsReader } from './ask-as-reader.ts';
import { readBody } from './exchange.ts';
import type { ManifestBody, ManifestRead } from './origin-client.ts';
import type { Registry } from './registry.ts';

/** Reads a manifest from a registry. Contract: `OriginClient.readManifest`. */
export async function readManifest(
  registry: Registry,
  read: ManifestRead,
  signal: AbortSignal,
): Promise<ManifestBody> {
  const { origin, reference } = read;
  const path = `/v2/${origin.repository}/manifests/${reference}`;
  const response = await askAsReader(
    registry,
    { kind: 'manifest', path, headers: { accept: MANIFEST_ACCEPT }, origin },
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

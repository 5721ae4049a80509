import { isDigest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { isRegistryHost, isRepository, isTag } from '../../lib/oci/names.ts';

export interface ManifestUrl {
  /** With its port, if it is not the scheme's. */
  readonly host: string;
  readonly repository: string;
  /** Tag or digest. */
  readonly reference: string;
}

/**
 * Takes `https://HOST/v2/REPOSITORY/manifests/REFERENCE` apart. Nobody ever connects to such a URL: it only names an image.
 * @throws REFERENCE_INVALID
 */
export function parseManifestUrl(text: string): ManifestUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url !== undefined && url.username === '' && url.password === '' && url.hash === '';
  const [, repository = '', reference = ''] =
    /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(url?.pathname ?? '') ?? [];
  const named = isRepository(repository) && (isTag(reference) || isDigest(reference));
  if (!plain || !/^https?:$/.test(url.protocol) || !isRegistryHost(url.host) || !named) {
    const message = 'not the URL of a manifest: expected https://HOST/v2/REPOSITORY/manifests/REFERENCE';
    throw new DamselflyError('REFERENCE_INVALID', message);
  }
  return { host: url.host, repository, reference };
}

/** The image as people write it. */
export function imageOf(registry: string, { reference, repository }: Omit<ManifestUrl, 'host'>): string {
  return `${registry}/${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
}

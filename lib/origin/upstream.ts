import { DamselflyError } from '../core/errors.ts';

/** A registry that blobs and manifests are read from. */
export interface Upstream {
  /** As clients spell the registry: `harbor.corp`, `docker.io`. */
  readonly name: string;
  /** Where its API answers, http or https; a path before `/v2` is kept. */
  readonly url: string;
  /** Credentials for reads on our own account; they never decide what a caller may read. */
  readonly username?: string;
  readonly password?: string;
  /** PEM text of certificate authorities to trust besides the machine's. */
  readonly ca?: string;
}

/**
 * The upstream's address.
 * @throws CONFIG_INVALID for anything but http and https, and for credentials or a query inside the address
 */
export function upstreamUrl(upstream: Upstream): URL {
  const url = URL.parse(upstream.url);
  const plain =
    url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (url !== null && plain && isHttp(url)) return url;
  // The address itself is not repeated: it may hold a password.
  throw new DamselflyError(
    'CONFIG_INVALID',
    `the url of upstream ${JSON.stringify(upstream.name)} must be http://host or https://host, without credentials or query`,
    { upstream: upstream.name },
  );
}

export function isHttp(url: URL): boolean {
  return url.protocol === 'http:' || url.protocol === 'https:';
}

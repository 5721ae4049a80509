import { DamselflyError } from '../core/errors.ts';
import type { TokenVerification } from './signed-token.ts';

/** A registry that blobs and manifests are read from, or, with `*` in its name, a family of them. */
export interface Upstream {
  /** As clients spell the registry: `harbor.corp`, `docker.io`; a `*` stands for one or more labels: `*.gcr.io`. */
  readonly name: string;
  /** Where its API answers, http or https; a path before `/v2` is kept. A host of `*` is the name asked for. */
  readonly url: string;
  /** Further addresses of the same registry, asked in this order while those before them fail. */
  readonly replicas?: readonly string[];
  /** Credentials for reads on our own account; they decide what a caller may read only under `trust: node`. */
  readonly username?: string;
  readonly password?: string;
  /** Paths of files in the form of docker's config.json or containers' auth.json. */
  readonly authFiles?: readonly string[];
  /** `ecr-login`: the program `docker-credential-ecr-login` is asked. */
  readonly credentialHelper?: string;
  /** Hosts besides the registry's own domain whose token service may be sent the credentials. */
  readonly tokenHosts?: readonly string[];
  /** PEM text of certificate authorities to trust besides the machine's. */
  readonly ca?: string;
  /** PEM text of our own certificate and its key, shown to the registry's own addresses only. */
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** Takes any certificate that the registry's own addresses show. */
  readonly insecureSkipVerify?: boolean;
  /** `node`: callers without credentials read with ours. Default `caller`. */
  readonly trust?: 'caller' | 'node';
  /** Signed tokens that are believed without asking the registry. */
  readonly verify?: TokenVerification;
}

/** Where the Docker registry's API is: its other names answer people. */
const DOCKER_API_HOST = 'registry-1.docker.io';
const DOCKER_NAMES = ['docker.io', 'index.docker.io', 'hub.docker.com'];

/**
 * The addresses of an upstream, the preferred one first; `name` is the registry's own name where the upstream's is a
 * pattern.
 * @throws CONFIG_INVALID for anything but http and https, and for credentials or a query inside the address
 */
export function upstreamUrls(upstream: Upstream, name = upstream.name): URL[] {
  return [upstream.url, ...(upstream.replicas ?? [])].map((text) => parseUrl(name, text));
}

function parseUrl(name: string, text: string): URL {
  const url = URL.parse(text);
  const plain =
    url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (url === null || !plain || !isHttp(url)) {
    // The address itself is not repeated: it may hold a password.
    throw new DamselflyError(
      'CONFIG_INVALID',
      `the url of upstream ${JSON.stringify(name)} must be http://host or https://host, without credentials or query`,
      { upstream: name },
    );
  }
  if (url.hostname === '*' && !name.includes('*')) url.host = name;
  if (DOCKER_NAMES.includes(url.hostname)) url.hostname = DOCKER_API_HOST;
  return url;
}

export function isHttp(url: URL): boolean {
  return url.protocol === 'http:' || url.protocol === 'https:';
}

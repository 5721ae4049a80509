import { DamselflyError } from '../core/errors.ts';
import type { Upstream } from '../core/upstream.ts';

/** Where the Docker registry's API is: its other names answer people. */
const DOCKER_API_HOST = 'registry-1.docker.io';
const DOCKER_NAMES = ['docker.io', 'index.docker.io', 'hub.docker.com'];

/**
 * The addresses of an upstream, the preferred one first; `name` is the registry's own name where the upstream's is a
 * pattern.
 * @throws CONFIG_INVALID for anything but http and https, and for credentials or a query inside the address
 */
export function upstreamUrls(
  upstream: Pick<Upstream, 'name' | 'replicas' | 'url'>,
  name = upstream.name,
): URL[] {
  return [upstream.url, ...(upstream.replicas ?? [])].map((text) => parseUrl(name, text));
}

/** Names of the registries that are where their names say, but without TLS. */
export function plainNames(upstreams: readonly Pick<Upstream, 'name' | 'url'>[]): readonly string[] {
  return upstreams.filter(({ name, url }) => url === `http://${name}`).map(({ name }) => name);
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

import { DamselflyError } from '../../core/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import { createCredentials } from '../credentials.ts';
import { followRedirects, type RequestKind } from '../exchange.ts';
import type { OriginClient, OriginRequest } from '../origin-client.ts';
import { readBlob } from '../read-blob.ts';
import { readManifest } from '../read-manifest.ts';
import { type Upstream, upstreamUrl } from '../upstream.ts';
import { createUndiciExchange, type HttpTimeouts } from './undici-exchange.ts';

/** Time limits: a client gives a mirror between 10 and 30 s, and has other sources to try. */
const TIMEOUTS: HttpTimeouts = { connectTimeoutMs: 5_000, headersTimeoutMs: 10_000, bodyTimeoutMs: 10_000 };

/** Headers that speak of one connection or one hop (RFC 9110 section 7.6.1), and what we decide ourselves. */
const OWN_HEADERS = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'host',
  'accept-encoding',
]);

/**
 * Reads from the registries `upstreams` over HTTP.
 * @throws CONFIG_INVALID
 */
export function createOriginClient(
  deps: {
    readonly upstreams: readonly Upstream[];
    readonly metrics?: Metrics;
    readonly log: Logger;
    readonly clock: Clock;
  },
  options: Partial<HttpTimeouts> = {},
): OriginClient {
  const closing = new AbortController();
  const registries = new Map(
    deps.upstreams.map((upstream) => [
      upstream.name,
      openRegistry(deps, upstream, { ...TIMEOUTS, ...options }, closing.signal),
    ]),
  );

  const registry = (name: string): Registry => {
    const found = registries.get(name);
    if (found !== undefined) return found;
    const known = [...registries.keys()].join(', ') || 'none';
    throw new DamselflyError(
      'UPSTREAM_UNKNOWN',
      `no upstream ${JSON.stringify(name)}; configured: ${known}`,
      { upstream: name },
    );
  };

  return {
    upstreams: [...registries.keys()],
    async request(request, { signal }) {
      const { exchange, at } = registry(request.upstream);
      const { body } = request;
      return await exchange(
        {
          kind: kindOf(request.path),
          method: request.method,
          url: at(request.path),
          headers: relayedHeaders(request),
          ...(body === undefined ? {} : { body }),
        },
        signal,
      );
    },
    async readBlob(read, { signal }) {
      const { exchange, at, credentials } = registry(read.origin.upstream);
      return await readBlob({ exchange, credentials, upstreamAt: at }, read, signal);
    },
    async readManifest(read, { signal }) {
      const { exchange, at, credentials } = registry(read.origin.upstream);
      return await readManifest({ exchange, credentials, upstreamAt: at }, read, signal);
    },
    async close() {
      closing.abort();
      await Promise.all([...registries.values()].map(({ close }) => close()));
    },
  };
}

type Registry = ReturnType<typeof openRegistry>;

function openRegistry(
  deps: { readonly metrics?: Metrics; readonly log: Logger; readonly clock: Clock },
  upstream: Upstream,
  timeouts: HttpTimeouts,
  closing: AbortSignal,
) {
  const base = upstreamUrl(upstream);
  const { ca } = upstream;
  const connections = createUndiciExchange(deps, { ...timeouts, ...(ca === undefined ? {} : { ca }) });
  const exchange = followRedirects(connections.exchange);
  const prefix = base.pathname.replace(/\/$/, '');
  return {
    exchange,
    credentials: createCredentials({ exchange, clock: deps.clock, log: deps.log, closing }, upstream, base),
    /** Where a path of the API is on this registry. */
    at: (path: string): URL => new URL(`${base.origin}${prefix}${path}`),
    close: () => connections.close(),
  };
}

function relayedHeaders({ headers }: OriginRequest): Record<string, string | string[]> {
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return Object.fromEntries(lower.filter(([name]) => !OWN_HEADERS.has(name)));
}

function kindOf(path: string): RequestKind {
  if (path.includes('/manifests/')) return 'manifest';
  return path.includes('/blobs/') ? 'blob' : 'other';
}

import { DamselflyError } from '../../core/errors.ts';
import { HOP_BY_HOP } from '../../core/hop-by-hop.ts';
import { isLayoutAddress } from '../../core/layout-address.ts';
import type { Upstream } from '../../core/upstream.ts';
import type { Rng } from '../../runtime/rng.ts';
import { createSystemRng } from '../../runtime/system-rng.ts';
import type { RequestKind } from '../exchange.ts';
import { isFileLocator } from '../file.ts';
import { isPublic } from '../is-public.ts';
import { type LayoutDeps, openLayouts } from '../layout/open-layout.ts';
import type { OriginClient, OriginRequest, OriginResponse } from '../origin-client.ts';
import { ownAuthorization } from '../own-authorization.ts';
import { askPatiently } from '../patience.ts';
import { readBlob } from '../read-blob.ts';
import { readFile } from '../read-file.ts';
import { readManifest } from '../read-manifest.ts';
import { readTags } from '../read-tags.ts';
import { askAsGiven, askAsOurselves, type Registry } from '../registry.ts';
import { findUpstreamName } from '../upstream-pattern.ts';
import { openRegistry, type RegistryDeps } from './open-registry.ts';
import type { HttpTimeouts } from './undici-exchange.ts';

/** Time limits: a client gives a mirror between 10 and 30 s, and has other sources to try. */
const TIMEOUTS: HttpTimeouts = { connectTimeoutMs: 3_000, headersTimeoutMs: 10_000, bodyTimeoutMs: 10_000 };
/** Registries that a pattern stands for are opened when they are named; the one named longest ago is given up. */
const MAX_NAMED = 256;

/** Headers of one connection, and what we decide ourselves. */
const OWN_HEADERS = new Set<string>([...HOP_BY_HOP, 'expect', 'host', 'accept-encoding']);

/**
 * Reads from the registries `upstreams` over HTTP, and from OCI image layouts where an upstream is a place of those.
 * @throws CONFIG_INVALID
 */
export function createOriginClient(
  given: Omit<RegistryDeps & LayoutDeps, 'rng'> & {
    readonly upstreams: readonly Upstream[];
    /** Spreads what is asked again; default: the system's. */
    readonly rng?: Rng;
  },
  options: Partial<HttpTimeouts> = {},
): OriginClient {
  const { upstreams } = given;
  const deps = { ...given, rng: given.rng ?? createSystemRng() };
  const timeouts = { ...TIMEOUTS, ...options };
  const closing = new AbortController();
  const names = upstreams.map(({ name }) => name);
  const open = (upstream: Upstream, name: string): Registry =>
    isLayoutAddress(upstream.url)
      ? openLayouts(deps, upstream, timeouts)
      : openRegistry(deps, upstream, name, timeouts, closing.signal);
  const listed = new Map(
    upstreams.filter(({ name }) => !name.includes('*')).map((each) => [each.name, open(each, each.name)]),
  );
  /** Those that a pattern stands for, the one named longest ago first. */
  const named = new Map<string, Registry>();
  /** Given up, but still being read from. */
  const finishing = new Set<Registry>();

  const byPattern = (name: string): Registry | undefined => {
    const found = findUpstreamName(names, name);
    const upstream = upstreams.find((each) => each.name === found);
    if (upstream === undefined) return undefined;
    const registry = named.get(name) ?? open(upstream, name);
    named.delete(name);
    const [oldest] = named;
    if (named.size >= MAX_NAMED && oldest !== undefined) {
      const [oldName, old] = oldest;
      named.delete(oldName);
      finishing.add(old);
      void old.finish().finally(() => finishing.delete(old));
    }
    named.set(name, registry);
    return registry;
  };

  const registryOf = (name: string): Registry => {
    const found = listed.get(name) ?? byPattern(name);
    if (found !== undefined) return found;
    throw new DamselflyError(
      'UPSTREAM_UNKNOWN',
      `no upstream ${JSON.stringify(name)}; configured: ${names.join(', ') || 'none'}`,
      { upstream: name },
    );
  };

  return {
    upstreams: names,
    trust: (upstream) => registryOf(upstream).trust,
    provesRight: ({ authorization, repository, upstream, wallMs }) =>
      registryOf(upstream).grantsPull(authorization, repository, wallMs),
    async request(request, { signal }) {
      const registry = registryOf(request.upstream);
      const { body, method, path, secret } = request;
      const headers = relayedHeaders(request);
      const asked = {
        ...{ kind: kindOf(path), method, path, headers },
        ...(secret === undefined ? {} : { secret }),
        ...(body === undefined ? {} : { body }),
      };
      const asNode =
        registry.trust === 'node' && headers['authorization'] === undefined && body === undefined;
      const ask = (): Promise<OriginResponse> =>
        (asNode ? askAsOurselves : askAsGiven)(registry, asked, signal);
      return await (body === undefined ? askPatiently(registry, ask, signal) : ask());
    },
    async readBlob(read, { signal }) {
      const { repository, upstream } = read.origin;
      const readIt = isFileLocator(repository) ? readFile : readBlob;
      return await readIt(registryOf(upstream), read, signal);
    },
    async readManifest(read, { signal }) {
      return await readManifest(registryOf(read.origin.upstream), read, signal);
    },
    async isPublic(blob, { signal }) {
      return await isPublic(registryOf(blob.origin.upstream), blob, signal);
    },
    async ownAuthorization(blob, { signal }) {
      return await ownAuthorization(registryOf(blob.origin.upstream), blob, signal);
    },
    async readTags(origin, { signal }) {
      return await readTags(registryOf(origin.upstream), origin, signal);
    },
    async close() {
      closing.abort();
      const all = [...listed.values(), ...named.values(), ...finishing];
      await Promise.all(all.map((each) => each.close()));
    },
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

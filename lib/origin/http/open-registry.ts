import { BoundedMap } from '../../core/bounded-map.ts';
import type { Upstream } from '../../core/upstream.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Tracer } from '../../observe/spans.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import { hostKind } from '../address-kind.ts';
import { createCredentials } from '../credentials.ts';
import { Endpoints } from '../endpoints.ts';
import { followRedirects } from '../exchange.ts';
import { NewestAuthorization } from '../newest-authorization.ts';
import type { Endpoint, Registry } from '../registry.ts';
import { SignedRedirects } from '../signed-redirects.ts';
import { createTokenVerifier } from '../signed-token.ts';
import { tracedExchange } from '../traced-exchange.ts';
import { isOwnOrAddress, mayBeSentTo } from '../trust.ts';
import { upstreamUrls } from '../upstream.ts';
import { createSecretSource } from './secret-source.ts';
import {
  type ConnectOptions,
  createUndiciExchange,
  type HttpConnections,
  type HttpTimeouts,
} from './undici-exchange.ts';

export interface RegistryDeps {
  readonly metrics?: Metrics;
  readonly log: Logger;
  readonly tracer?: Tracer | undefined;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Opens the connections to one registry. @default over undici */
  readonly connect?: ((options: HttpTimeouts & ConnectOptions) => HttpConnections) | undefined;
}

/** An address that has others behind it is given up sooner, so that they too can answer in time. */
const REPLICA_LIMITS: Partial<HttpTimeouts> = { connectTimeoutMs: 1_500, headersTimeoutMs: 3_000 };

/** Repositories of which something is remembered. */
const MAX_REPOSITORIES = 1_000;

/**
 * Opens the way to one registry. `name` is the registry's own name where the upstream's is a pattern.
 * @throws CONFIG_INVALID
 */
export function openRegistry(
  deps: RegistryDeps,
  upstream: Upstream,
  name: string,
  timeouts: HttpTimeouts,
  closing: AbortSignal,
): Registry {
  const { clock, rng } = deps;
  const family = upstream.name.includes('*');
  const bases = upstreamUrls(upstream, name);
  // Where a registry on this machine redirects may be on this machine too; no other registry sends us to ourselves.
  const isOwn = bases.some((base) => hostKind(base) === 'loopback');
  const limits = bases.length > 1 ? { ...timeouts, ...REPLICA_LIMITS } : timeouts;
  const connect = deps.connect ?? ((options) => createUndiciExchange(deps, options));
  const connections = connect({
    ...limits,
    ca: upstream.ca,
    clientCert: upstream.clientCert,
    clientKey: upstream.clientKey,
    insecureSkipVerify: upstream.insecureSkipVerify,
    ownHosts: bases.map(({ host }) => host),
    mayBeOwn: !family,
    redirectsMayBeOwn: isOwn,
  });
  const forbidden = (url: URL): boolean => !mayBeSentTo(url, isOwn) || (family && isOwnOrAddress(url));
  const exchange = followRedirects(tracedExchange(connections.exchange, deps.tracer), forbidden);
  const secrets = createSecretSource(deps, { ...upstream, name });
  const endpoints = bases.map((base): Endpoint => {
    const prefix = base.pathname.replace(/\/$/, '');
    return {
      host: base.host,
      exchange,
      credentials: createCredentials(
        { ...deps, exchange, closing, secrets, forbidden },
        { ...upstream, name },
        base,
      ),
      at: (path) => new URL(`${base.origin}${prefix}${path}`),
    };
  });
  return {
    trust: upstream.trust ?? 'caller',
    grantsPull: upstream.verify === undefined ? () => false : createTokenVerifier(upstream.verify),
    namesUs: upstream.clientCert !== undefined,
    endpoints: new Endpoints(deps, endpoints),
    newest: new NewestAuthorization(),
    redirects: new SignedRedirects(clock),
    givesUnasked: new BoundedMap(MAX_REPOSITORIES),
    shownAsOurs: new BoundedMap(MAX_REPOSITORIES),
    storage: exchange,
    clock,
    rng,
    finish: () => connections.finish(),
    close: () => connections.close(),
  };
}

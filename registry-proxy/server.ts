import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { DamselflyError } from '../lib/core/errors.ts';
import { type ListenPlace } from '../lib/core/listen-place.ts';
import { createAnswerer, type RegistryProxyDeps } from './dispatch.ts';
import { Drain } from './drain.ts';
import { type ForwardProxyConfig, startForwardProxy } from './forward/server.ts';
import type { StalePolicy } from './last-known.ts';
import { addressOf, listen, type ProxyTls } from './listener.ts';
import { isServed } from './upstream-name.ts';

export interface ListenerConfig extends ListenPlace {
  /** The one registry that this listener is for. */
  readonly upstream?: string;
}

export interface RegistryProxyConfig {
  readonly listeners: readonly ListenerConfig[];
  /** Registry of requests that name none. */
  readonly defaultUpstream?: string;
  /** Also a proxy as in HTTPS_PROXY. */
  readonly forward?: ForwardProxyConfig;
  /** HTTPS on all listeners of the mirror. @default plain HTTP */
  readonly tls?: ProxyTls | undefined;
  /** Names by which clients reach a listener that is for this machine alone, besides addresses, localhost and upstreams. */
  readonly hosts?: readonly string[];
  /** What is served while a registry is away; default: nothing. */
  readonly stale?: StalePolicy;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface RegistryProxy {
  /** Where each listener listens, in the order of the configuration. */
  readonly addresses: readonly Address[];
  /** Where the forward proxy listens, and the PEM file of the authority that its clients must trust. */
  readonly forward?: { readonly address: Address; readonly certificateFile: string };
  /** The servers behind those addresses, in the same order, to hand their sockets to another process. */
  readonly servers: readonly Server[];
  readonly forwardServer?: Server;
  /**
   * Takes no more connections, lets the answers under way end, and cuts what is left after `deadlineMs` (default 1.5 s).
   * A second call waits too, and cuts after its own.
   */
  close(options?: { readonly deadlineMs: number }): Promise<void>;
}

/** How long answers under way may take when nobody says how long. */
const DRAIN_MS = 1_500;
/** Requests have no body that matters. */
const REQUEST_TIMEOUT_MS = 30_000;

/**
 * The registry API on a node (distribution-spec, pull and discovery): requests are answered with the rights of their
 * caller, blobs come from `deps.blobs`.
 * @throws CONFIG_INVALID, also when an address cannot be listened on
 */
export async function createRegistryProxy(
  deps: RegistryProxyDeps,
  config: RegistryProxyConfig,
): Promise<RegistryProxy> {
  requireUpstreams(deps.origin.upstreams, config);
  const { listeners, forward: forwardConfig, hosts = [], tls, ...options } = config;
  const isOwnName = (name: string): boolean => hosts.includes(name) || isServed(deps.origin.upstreams, name);
  const closing = new AbortController();
  const pseudonym = `damselfly-${randomBytes(6).toString('hex')}`;
  const answer = createAnswerer(deps, { ...options, pseudonym, closing: closing.signal });
  const drain = new Drain(deps.clock);
  const servers: Server[] = [];
  let forward: Awaited<ReturnType<typeof startForwardProxy>> | undefined;
  const cut = (): void => {
    for (const server of servers) server.closeAllConnections();
    forward?.cut();
  };
  const drainAll = async (): Promise<void> => {
    await drain.run(servers, () => forward?.cutIdle());
    closing.abort();
  };
  let closed: Promise<void> | undefined;
  const close = async ({ deadlineMs } = { deadlineMs: DRAIN_MS }): Promise<void> => {
    const cancelCut = deps.clock.after(deadlineMs, cut);
    await (closed ??= drainAll());
    cancelCut();
  };
  try {
    for (const { upstream, ...place } of listeners) {
      const entrance = upstream === undefined ? {} : { upstream };
      const limits = { requestTimeoutMs: REQUEST_TIMEOUT_MS, tls, isOwnName };
      const at = { flag: '--proxy-listen', ...place, ...limits };
      servers.push(await listen(at, drain, (request, response) => void answer(request, response, entrance)));
    }
    if (forwardConfig !== undefined) {
      forward = await startForwardProxy(
        { ...deps, answer, drain, pseudonym, closing: closing.signal },
        forwardConfig,
      );
      servers.push(forward.server);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const mirrors = servers.slice(0, listeners.length);
  return {
    addresses: mirrors.map(addressOf),
    servers: mirrors,
    ...(forward === undefined
      ? {}
      : {
          forward: { address: addressOf(forward.server), certificateFile: forward.certificateFile },
          forwardServer: forward.server,
        }),
    close,
  };
}

/** @param upstreams names and patterns @throws CONFIG_INVALID when one is to be served that is not among them */
export function requireUpstreams(
  upstreams: readonly string[],
  { listeners, defaultUpstream }: Pick<RegistryProxyConfig, 'listeners' | 'defaultUpstream'>,
): void {
  for (const name of [defaultUpstream, ...listeners.map(({ upstream }) => upstream)]) {
    if (name === undefined || isServed(upstreams, name)) continue;
    const message = `the proxy is to serve ${JSON.stringify(name)}, which is not among the upstreams`;
    throw new DamselflyError('CONFIG_INVALID', message, { upstream: name });
  }
}

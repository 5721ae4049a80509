import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { DamselflyError } from '../lib/core/errors.ts';
import { createAnswerer, type RegistryProxyDeps } from './dispatch.ts';
import { type ForwardProxyConfig, startForwardProxy } from './forward/server.ts';
import type { StalePolicy } from './last-known.ts';
import { addressOf, drain, listen } from './listener.ts';
import { isServed } from './upstream-name.ts';

export interface ListenerConfig {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** The one registry that this listener is for. */
  readonly upstream?: string;
}

export interface RegistryProxyConfig {
  readonly listeners: readonly ListenerConfig[];
  /** Registry of requests that name none. */
  readonly defaultUpstream?: string;
  /** Also a proxy as in HTTPS_PROXY. */
  readonly forward?: ForwardProxyConfig;
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
  /** Takes no more requests, lets those under way end for 1.5 s, then cuts them. A second call is harmless. */
  close(): Promise<void>;
}

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
  requireUpstreams(deps, config);
  const { listeners, forward: forwardConfig, ...options } = config;
  const closing = new AbortController();
  const pseudonym = `damselfly-${randomBytes(6).toString('hex')}`;
  const answer = createAnswerer(deps, { ...options, pseudonym, closing: closing.signal });
  const servers: Server[] = [];
  let forward: Awaited<ReturnType<typeof startForwardProxy>> | undefined;
  const close = async (): Promise<void> => {
    await drain(deps.clock, servers, () => forward?.cut());
    closing.abort();
  };
  try {
    for (const { host, port, upstream } of listeners) {
      const entrance = upstream === undefined ? {} : { upstream };
      const at = { flag: '--proxy-listen', host, port, requestTimeoutMs: REQUEST_TIMEOUT_MS };
      servers.push(await listen(at, (request, response) => void answer(request, response, entrance)));
    }
    if (forwardConfig !== undefined) {
      forward = await startForwardProxy(
        { ...deps, answer, pseudonym, closing: closing.signal },
        forwardConfig,
      );
      servers.push(forward.server);
    }
  } catch (error) {
    await close();
    throw error;
  }
  let closed: Promise<void> | undefined;
  const addresses = servers.map(addressOf);
  const at = forward === undefined ? undefined : addresses.pop();
  return {
    addresses,
    ...(forward === undefined || at === undefined
      ? {}
      : { forward: { address: at, certificateFile: forward.certificateFile } }),
    close: () => (closed ??= close()),
  };
}

function requireUpstreams(
  { origin }: RegistryProxyDeps,
  { listeners, defaultUpstream }: RegistryProxyConfig,
): void {
  for (const name of [defaultUpstream, ...listeners.map(({ upstream }) => upstream)]) {
    if (name === undefined || isServed(origin.upstreams, name)) continue;
    const message = `the proxy is to serve ${JSON.stringify(name)}, which is not among the upstreams`;
    throw new DamselflyError('CONFIG_INVALID', message, { upstream: name });
  }
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DamselflyError } from '../lib/core/errors.ts';
import { type Clock, every } from '../lib/runtime/clock.ts';
import { createAnswerer, type RegistryProxyDeps } from './dispatch.ts';
import type { StalePolicy } from './last-known.ts';
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
  /** What is served while a registry is away; default: nothing. */
  readonly stale?: StalePolicy;
}

export interface RegistryProxy {
  /** Where each listener listens, in the order of the configuration. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  /** Takes no more requests, lets those under way end for 1.5 s, then cuts them. A second call is harmless. */
  close(): Promise<void>;
}

/** Below the open-file limit of common systems, with room for upstream and peer connections. */
const MAX_CONNECTIONS = 10_000;
/** Clients send their headers at once; whoever does not is not one. */
const HEADERS_TIMEOUT_MS = 10_000;
/** Requests have no body that matters. */
const REQUEST_TIMEOUT_MS = 30_000;
const TIMEOUT_CHECK_MS = 5_000;
/** Longer than clients wait between the manifest and the layers. */
const KEEP_ALIVE_MS = 75_000;
/** Tokens with many scopes are larger than Node's default of 16 KiB for all headers. */
const MAX_HEADER_BYTES = 64 * 1024;
/** Small answers end within it; clients of blobs resume by Range. A process must be gone five seconds after SIGTERM. */
const DRAIN_MS = 1_500;
const DRAIN_CHECK_MS = 50;

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
  const { listeners, ...options } = config;
  const closing = new AbortController();
  const answer = createAnswerer(deps, { ...options, closing: closing.signal });
  const servers: Server[] = [];
  const close = async (): Promise<void> => {
    await drain(deps.clock, servers);
    closing.abort();
  };
  try {
    for (const { host, port, upstream } of listeners) {
      servers.push(await listen(host, port, (request, response) => void answer(request, response, upstream)));
    }
  } catch (error) {
    await close();
    throw error;
  }
  let closed: Promise<void> | undefined;
  return {
    addresses: servers.map((server) => {
      const { address, port } = server.address() as AddressInfo;
      return { host: address, port };
    }),
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

async function listen(
  host: string,
  port: number,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
    },
    handler,
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const told = `--proxy-listen ${host}:${port}: ${error.message}; give another address, or port 0 for any free one`;
      reject(new DamselflyError('CONFIG_INVALID', told, {}, { cause: error }));
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
  return server;
}

async function drain(clock: Clock, servers: readonly Server[]): Promise<void> {
  // Connections become idle one by one, each when its response has ended.
  const stopChecking = every(clock, DRAIN_CHECK_MS, () => {
    for (const server of servers) server.closeIdleConnections();
  });
  const cancelCut = clock.after(DRAIN_MS, () => {
    for (const server of servers) server.closeAllConnections();
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  stopChecking();
  cancelCut();
}

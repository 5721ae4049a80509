import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { DamselflyError } from '../lib/core/errors.ts';
import { isThisMachineOnly, type ListenPlace, listenOptions } from '../lib/core/listen-place.ts';
import { limitConnections } from '../lib/observe/connection-limits.ts';
import { type PageGuard, pageRefusal } from '../lib/observe/page-guard.ts';
import { sendError } from './answer.ts';
import type { Drain } from './drain.ts';

export interface ListenAt extends ListenPlace {
  /** The setting that says where, as it is named in an error. */
  readonly flag: string;
  /** Longest time for a whole request in milliseconds; 0 = any. */
  readonly requestTimeoutMs: number;
  /** HTTPS with this certificate. @default plain HTTP */
  readonly tls?: ProxyTls | undefined;
  /** Names by which it may be asked, besides addresses, when it is for this machine alone. @default any */
  readonly isOwnName?: (name: string) => boolean;
}

/** PEM text, as it is now. */
export interface ProxyTls {
  readonly keys: () => { readonly cert: string; readonly key: string };
  /** Calls when there are others. @returns ends it */
  readonly onChange: (changed: () => void) => () => void;
}

/** In all below the open-file limit of common systems, with room for upstream and peer connections. */
const MAX_CONNECTIONS = { total: 10_000, perAddress: 1_000 };
/** Clients send their headers at once; whoever does not is not one. */
const HEADERS_TIMEOUT_MS = 10_000;
const TIMEOUT_CHECK_MS = 5_000;
/** Longer than clients wait between the manifest and the layers. */
const KEEP_ALIVE_MS = 75_000;
/** Tokens with many scopes are larger than Node's default of 16 KiB for all headers. */
const MAX_HEADER_BYTES = 64 * 1024;

/** An HTTP server with the limits of everything that clients connect to. @throws CONFIG_INVALID */
export async function listen(
  at: ListenAt,
  drain: Drain,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const { flag, host, port, requestTimeoutMs } = at;
  const names = at.isOwnName !== undefined && isThisMachineOnly(host) ? at.isOwnName : 'any';
  const guard: PageGuard | undefined = at.isOwnName && { names, ownPages: false };
  const limits = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true,
  };
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    drain.begins(request, response);
    const refusal = guard && pageRefusal(request.headers, guard);
    // RFC 9112 section 3.2: whoever sends two may mean one for somebody on the way.
    if ((request.headersDistinct['host']?.length ?? 0) > 1) {
      const message = 'more than one Host';
      sendError(response, { status: 400, code: 'UNSUPPORTED', message }, { connection: 'close' });
    } else if (refusal !== undefined) {
      sendError(response, { status: 403, code: 'DENIED', message: refusal }, { connection: 'close' });
    } else handler(request, response);
  };
  const server =
    at.tls === undefined ? createServer(limits, answer) : createSecureServer(at.tls, limits, answer);
  limitConnections(server, MAX_CONNECTIONS);
  drain.watch(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const told = `${flag} ${host}:${port}: ${error.message}; give another address, or port 0 for any free one`;
      reject(new DamselflyError('CONFIG_INVALID', told, {}, { cause: error }));
    });
    server.listen(listenOptions(at), () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
  return server;
}

function createSecureServer(
  { keys, onChange }: ProxyTls,
  limits: ServerOptions,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const options = { minVersion: 'TLSv1.2' as const, handshakeTimeout: HEADERS_TIMEOUT_MS };
  const server = createTlsServer({ ...limits, ...options, ...keys() }, answer);
  const forget = onChange(() => server.setSecureContext({ ...options, ...keys() }));
  server.once('close', forget);
  return server;
}

export function addressOf(server: Server): { readonly host: string; readonly port: number } {
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}

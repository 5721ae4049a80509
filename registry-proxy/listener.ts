import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DamselflyError } from '../lib/core/errors.ts';
import { type Clock, every } from '../lib/runtime/clock.ts';
import { sendError } from './answer.ts';

export interface ListenAt {
  /** The setting that says where, as it is named in an error. */
  readonly flag: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Longest time for a whole request in milliseconds; 0 = any. */
  readonly requestTimeoutMs: number;
}

/** Below the open-file limit of common systems, with room for upstream and peer connections. */
const MAX_CONNECTIONS = 10_000;
/** Clients send their headers at once; whoever does not is not one. */
const HEADERS_TIMEOUT_MS = 10_000;
const TIMEOUT_CHECK_MS = 5_000;
/** Longer than clients wait between the manifest and the layers. */
const KEEP_ALIVE_MS = 75_000;
/** Tokens with many scopes are larger than Node's default of 16 KiB for all headers. */
const MAX_HEADER_BYTES = 64 * 1024;
/** Small answers end within it; clients of blobs resume by Range. A process must be gone five seconds after SIGTERM. */
const DRAIN_MS = 1_500;
const DRAIN_CHECK_MS = 50;

/** An HTTP server with the limits of everything that clients connect to. @throws CONFIG_INVALID */
export async function listen(
  at: ListenAt,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const { flag, host, port, requestTimeoutMs } = at;
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
    },
    (request, response) => {
      // RFC 9112 section 3.2: whoever sends two may mean one for somebody on the way.
      if ((request.headersDistinct['host']?.length ?? 0) > 1) {
        const message = 'more than one Host';
        sendError(response, { status: 400, code: 'UNSUPPORTED', message }, { connection: 'close' });
      } else handler(request, response);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const told = `${flag} ${host}:${port}: ${error.message}; give another address, or port 0 for any free one`;
      reject(new DamselflyError('CONFIG_INVALID', told, {}, { cause: error }));
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
  return server;
}

export function addressOf(server: Server): { readonly host: string; readonly port: number } {
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}

/** Takes no more connections, lets requests under way end for 1.5 s, then cuts them; `cut` is for what is left then. */
export async function drain(clock: Clock, servers: readonly Server[], cut: () => void): Promise<void> {
  // Connections become idle one by one, each when its response has ended.
  const stopChecking = every(clock, DRAIN_CHECK_MS, () => {
    for (const server of servers) server.closeIdleConnections();
  });
  const cancelCut = clock.after(DRAIN_MS, () => {
    for (const server of servers) server.closeAllConnections();
    cut();
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  stopChecking();
  cancelCut();
}

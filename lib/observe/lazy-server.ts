import { createServer, type Server } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** A server whose routes, and the framework under them, are loaded when the first request comes. */
export interface LazyServer {
  readonly server: Server;
  close(): Promise<void>;
}

/** Who has not sent the head of a request by then is no client. */
const HEADERS_TIMEOUT_MS = 10_000;

/**
 * @param routes gives the routes; called once
 * @param requestTimeoutMs longest time for a whole request, body included; 0 = any
 */
export function createLazyServer(
  routes: () => Promise<FastifyInstance>,
  requestTimeoutMs: number,
): LazyServer {
  let loading: Promise<FastifyInstance> | undefined;
  const load = async (): Promise<FastifyInstance> => {
    const app = await routes();
    await app.ready();
    return app;
  };
  const limits = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: requestTimeoutMs };
  const server = createServer(limits, (request, response) => {
    loading ??= load();
    loading.then(
      (app) => app.routing(request, response),
      () => response.destroy(),
    );
  });
  return {
    server,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await (await loading)?.close();
    },
  };
}

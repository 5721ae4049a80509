import { createServer, type Server } from 'node:http';
import type { FastifyInstance } from 'fastify';

/** A server whose routes, and the framework under them, are loaded when the first request comes. */
export interface LazyServer {
  readonly server: Server;
  close(): Promise<void>;
}

/** @param routes gives the routes; called once */
export function createLazyServer(routes: () => Promise<FastifyInstance>): LazyServer {
  let loading: Promise<FastifyInstance> | undefined;
  const load = async (): Promise<FastifyInstance> => {
    const app = await routes();
    await app.ready();
    return app;
  };
  const server = createServer((request, response) => {
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

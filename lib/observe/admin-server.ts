import { hash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { DamselflyError } from '../core/errors.ts';
import { descriptorOf, isThisMachineOnly, type ListenPlace, listenOptions } from '../core/listen-place.ts';
import { limitConnections } from './connection-limits.ts';
import { createLazyServer } from './lazy-server.ts';
import { pageRefusal } from './page-guard.ts';

/** Requests are short, and come from a few: monitoring, people, `dfget`. */
const REQUEST_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = { total: 512, perAddress: 128 };

export interface AdminOptions extends ListenPlace {
  readonly registry: Registry;
  /** Each check by name: true = in order. All true = ready. */
  readonly checks: () => Readonly<Record<string, boolean>>;
  /** Said in `/readyz` besides the checks, for example that nothing is encrypted. */
  readonly notes?: readonly string[];
  /** More of them, as they are now. */
  readonly moreNotes?: () => readonly string[];
  /** Gauges are brought up to date before they are read. */
  readonly refresh?: () => void;
  /** Must be shown by whoever asks for more than health and readiness. @default nobody need */
  readonly token?: string | undefined;
  /** More paths. */
  readonly routes?: (server: FastifyInstance) => void;
}

export interface AdminServer {
  readonly address: string;
  readonly port: number;
  /** Its socket, to hand to another process. */
  readonly fd: number | undefined;
  close(): Promise<void>;
}

/** `/healthz` (the process lives), `/readyz` (it can do its work, check by check) and `/metrics` (Prometheus text). */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const { host, port } = options;
  const lazy = createLazyServer(() => adminRoutes(options), REQUEST_TIMEOUT_MS);
  limitConnections(lazy.server, MAX_CONNECTIONS);
  try {
    await new Promise<void>((resolve, reject) => {
      lazy.server.once('error', reject).listen(listenOptions(options), resolve);
    });
  } catch (error) {
    const why = (error as Error).message;
    const told = `--admin-listen ${joinAddress(host, port)}: ${why}; give another address, or port 0 for any free one`;
    throw new DamselflyError('CONFIG_INVALID', told, {}, { cause: error });
  }
  const bound = lazy.server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    address: joinAddress(host, boundPort),
    port: boundPort,
    get fd() {
      return descriptorOf(lazy.server);
    },
    close: () => lazy.close(),
  };
}

async function adminRoutes({
  checks,
  host,
  moreNotes,
  notes = [],
  refresh,
  registry,
  routes,
  token,
}: AdminOptions): Promise<FastifyInstance> {
  const { default: fastify } = await import('fastify');
  const server = fastify({ logger: false, forceCloseConnections: true });
  const names = isThisMachineOnly(host) ? () => false : 'any';
  server.addHook('onRequest', async (request, reply) => {
    const refusal = pageRefusal(request.headers, { names, ownPages: true });
    if (refusal !== undefined) {
      await reply.code(403).send({ code: 'LOCAL_ONLY', message: refusal, facts: {} });
    }
  });
  if (token !== undefined) {
    server.addHook('onRequest', async (request, reply) => {
      if (OPEN_PATHS.includes(request.url.split('?')[0] ?? '') || showsToken(request.headers, token)) return;
      await reply
        .code(401)
        .header('www-authenticate', 'Bearer')
        .send({ code: 'LOCAL_ONLY', message: NEEDS_TOKEN, facts: {} });
    });
  }
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async (_request, reply) => {
    const results = checks();
    const ready = Object.values(results).every(Boolean);
    return reply.code(ready ? 200 : 503).send({
      status: ready ? 'ready' : 'not ready',
      checks: results,
      notes: [...notes, ...(moreNotes?.() ?? [])],
    });
  });
  server.get('/metrics', async (_request, reply) => {
    refresh?.();
    return reply.type(registry.contentType).send(await registry.metrics());
  });
  routes?.(server);
  return server;
}

/** For probes, which have no secrets. */
const OPEN_PATHS = ['/healthz', '/readyz'];

/** Said to whoever does not show the token. */
export const NEEDS_TOKEN = 'this path needs the token of --admin-token-file: Authorization: Bearer TOKEN';

/** Whether the headers of a request have the token of the admin port. */
export function showsToken(
  { authorization = '' }: { readonly authorization?: string | undefined },
  token: string,
): boolean {
  const [shown, wanted] = [authorization, `Bearer ${token}`].map((text) => hash('sha256', text, 'buffer'));
  return shown !== undefined && wanted !== undefined && timingSafeEqual(shown, wanted);
}

/** `host:port`, an IPv6 host in brackets. */
export function joinAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

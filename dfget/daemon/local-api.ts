import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { parseBlobKey } from '../../lib/core/digest.ts';
import { DamselflyError, describeError, ERROR_CODES } from '../../lib/core/errors.ts';
import type { BlobOrigin } from '../../lib/core/node.ts';
import { parseRange } from '../../lib/core/range.ts';
import { readTraceparent } from '../../lib/core/traceparent.ts';
import { createLazyServer } from '../../lib/observe/lazy-server.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { onOwnAccount } from '../../lib/origin/own-authorization.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import type { PreheatQuestions } from '../../lib/transfer/preheat/preheat-questions.ts';
import { addTraceApi, type TraceApiDeps } from '../../lib/transfer/trace-api.ts';
import { writeChunk } from '../../registry-proxy/answer.ts';
import { Drain } from '../../registry-proxy/drain.ts';
import {
  type FoundFile,
  ORIGIN_AUTHORIZATION,
  type PauseAnswer,
  type SettingsAnswer,
  type SettingsChange,
  type UpgradeAnswer,
} from '../local-protocol.ts';
import { addShareApi } from '../torrent/share-api.ts';
import type { Shares } from '../torrent/shares.ts';
import { addCacheApi, type CacheApiDeps } from './cache-api.ts';
import { findFile } from './find-file.ts';
import { goneSignal } from './gone-signal.ts';
import { HANDOVER_PATH, HANDOVER_PROTOCOL } from './handover/conversation.ts';
import type { Handover } from './handover/hand-over.ts';
import { listenLocally } from './local-socket.ts';
import type { Pause } from './pause.ts';
import { addPreheatApi } from './preheat-api.ts';
import { askRegistries } from './registry-check.ts';

export interface LocalApiDeps {
  readonly blobs: BlobSource;
  readonly origin: Pick<
    OriginClient,
    'ownAuthorization' | 'readManifest' | 'request' | 'trust' | 'upstreams'
  >;
  /** Where its registries are. */
  readonly upstreams: Parameters<typeof askRegistries>[1];
  readonly pause: () => Pause;
  readonly cached: () => CacheApiDeps;
  readonly preheats: () => Pick<PreheatQuestions, 'ask' | 'askPlans'>;
  /** Whether peers give blobs only to those that show the right to them. */
  readonly needsCapabilities: boolean;
  /** What happened lately. */
  readonly trace: () => TraceApiDeps;
  readonly shares: () => Shares;
  /** Answer of `/v1/status`. */
  readonly status: () => object | Promise<object>;
  /** Settings while the daemon runs; absent: they cannot be changed. */
  readonly settings?: LocalSettings;
  /** Leaves the work to another daemon; absent: this one cannot. */
  readonly handover?: Pick<Handover, 'start' | 'meet'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** For `/v1/settings`. */
export interface LocalSettings {
  get(): SettingsAnswer;
  /** @throws CONFIG_INVALID */
  change(change: SettingsChange): Promise<SettingsAnswer>;
}

export interface LocalApi {
  /** Takes no more connections, and cuts what is not answered by then. @default at once */
  close(options?: { readonly deadlineMs: number }): Promise<void>;
}

/** More than the longest digest has. */
const MAX_PARAMETER_CHARS = 200;

const blobQuery = z.object({
  size: z.coerce.number().int().min(0),
  upstream: z.string(),
  repository: z.string(),
  rangeIs: z.enum(['rest', 'part']).optional(),
});
const upgradeBody = z.object({ program: z.tuple([z.string().min(1)], z.string()) });
const settingsBody = z.strictObject({
  zone: z.string().min(1).optional(),
  node: z
    .string()
    .regex(/^[0-9a-f]{1,40}$/, 'expected the beginning of a node id: up to 40 hex digits')
    .optional(),
  set: z.record(z.string(), z.string()).optional(),
  unset: z.array(z.string()).optional(),
});
const pauseBody = z.object({ upstream: z.string(), scope: z.enum(['node', 'cluster']).optional() });
const fileBody = z.strictObject({
  url: z.string(),
  headers: z.record(z.string(), z.string()).optional(),
  filtered: z.array(z.string()).optional(),
  identifier: z.string().optional(),
  digest: z.string().optional(),
});
const manifestQuery = z.object({ upstream: z.string(), repository: z.string(), reference: z.string() });

/**
 * The daemon's socket for the other dfget commands: HTTP over a Unix socket that only its owner may open. Paths are
 * versioned; errors are `{code, message, facts}`.
 * @throws CONFIG_INVALID when it cannot listen there
 */
export async function startLocalApi(
  deps: LocalApiDeps,
  path: string,
  { replace = false }: { readonly replace?: boolean } = {},
): Promise<LocalApi> {
  const { clock, handover, log } = deps;
  // An archive that is brought in takes as long as it takes.
  const lazy = createLazyServer(() => localRoutes(deps), 0);
  const drain = new Drain(clock);
  drain.watch(lazy.server);
  lazy.server.prependListener('request', (request, response) => drain.begins(request, response));
  if (handover !== undefined) {
    lazy.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      drain.forget(socket);
      if (request.url !== HANDOVER_PATH || request.headers.upgrade !== HANDOVER_PROTOCOL) {
        socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${HANDOVER_PROTOCOL}\r\n\r\n`,
      );
      handover.meet(socket, head).catch((error: unknown) => {
        log.error({ error: describeError(error) }, 'a handover failed');
      });
    });
  }
  const removeSocket = await listenLocally(lazy.server, path, replace);
  return {
    async close(options) {
      await removeSocket();
      if (options !== undefined) {
        const cancelCut = clock.after(options.deadlineMs, () => lazy.server.closeAllConnections());
        await drain.run([lazy.server], () => {});
        cancelCut();
      }
      await lazy.close();
    },
  };
}

const ITS_SETTINGS =
  'takes other settings when it is started again; those of the other nodes: --tracker wss://HOST:8400 --ca-dir FOLDER';

/** Of a node that is one with the other processes of its machine. @throws CONFIG_INVALID whatever is called */
function missing(instead: string): Record<'get' | 'change' | 'start', () => never> {
  const refuse = (): never => {
    throw new DamselflyError('CONFIG_INVALID', `the node of "damselfly up" ${instead}`);
  };
  return { get: refuse, change: refuse, start: refuse };
}

async function localRoutes(deps: LocalApiDeps): Promise<FastifyInstance> {
  const { blobs, clock, log, origin: registry, pause } = deps;
  const { default: fastify } = await import('fastify');
  // A sha512 digest is longer than what a parameter may be by default.
  const server = fastify({ logger: false, routerOptions: { maxParamLength: MAX_PARAMETER_CHARS } });

  // Blobs come as they are.
  server.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));
  addCacheApi(server, deps.cached);
  addPreheatApi(server, deps.preheats);
  addTraceApi(server, deps.trace);
  addShareApi(server, deps.shares);

  server.get('/v1/status', async () => await deps.status());

  server.get('/v1/registries', async (_request, reply) =>
    askRegistries(registry, deps.upstreams, goneSignal(reply)),
  );

  for (const action of ['pause', 'resume'] as const) {
    server.post(`/v1/${action}`, async (request): Promise<PauseAnswer> => {
      const { scope, upstream } = pauseBody.parse(request.body);
      return await pause().change(action, upstream, scope);
    });
  }

  const { handover = missing('is stopped and started again'), settings = missing(ITS_SETTINGS) } = deps;
  server.get('/v1/settings', async () => settings.get());
  server.post('/v1/settings', async (request) => await settings.change(settingsBody.parse(request.body)));
  server.post('/v1/upgrade', async (request): Promise<UpgradeAnswer> => {
    const { program } = upgradeBody.parse(request.body);
    const pid = await handover.start(program, successorArgs(process.argv.slice(2)));
    return { pid };
  });

  // Who reaches this socket reads with what the daemon has for the registry.
  const ownAccount = async (
    blob: Parameters<typeof onOwnAccount>[1],
    signal: AbortSignal,
  ): Promise<BlobOrigin> =>
    deps.needsCapabilities ? await onOwnAccount(registry, blob, signal) : blob.origin;

  server.get('/v1/manifest', async (request, reply) => {
    const { reference, repository, upstream } = manifestQuery.parse(request.query);
    const read = { origin: { upstream, repository, ...tracedBy(request.headers) }, reference };
    const signal = goneSignal(reply);
    const manifest = await registry.readManifest(read, { signal });
    // One question for all of its blobs.
    const { digest } = manifest;
    const origin = await ownAccount({ digest, origin: read.origin }, signal);
    await blobs.right?.({ origin, kind: 'manifest', digest }, { signal });
    return reply
      .type(manifest.mediaType)
      .header('docker-content-digest', manifest.digest)
      .send(Buffer.from(manifest.bytes));
  });

  server.post('/v1/files', async (request, reply): Promise<FoundFile> => {
    const isPaused = (upstream: string): boolean => pause().isPaused(upstream);
    const finder = { isPaused, needsCapabilities: deps.needsCapabilities };
    return await findFile(registry, finder, fileBody.parse(request.body), goneSignal(reply));
  });

  server.get('/v1/blobs/:digest', async (request, reply) => {
    const digest = parseBlobKey((request.params as { digest: string }).digest);
    const { rangeIs, repository, size, upstream } = blobQuery.parse(request.query);
    const secret = request.headers[ORIGIN_AUTHORIZATION];
    const told = {
      ...{ upstream, repository, ...tracedBy(request.headers) },
      ...(typeof secret === 'string' ? { authorization: secret } : {}),
    };
    const wanted = parseRange(request.headers.range, size);
    if (wanted.kind === 'unsatisfiable') {
      throw new DamselflyError('RANGE_INVALID', 'the range lies outside the blob');
    }
    const range = wanted.kind === 'part' ? wanted.range : { start: 0, end: size };
    const meaning = rangeIs === undefined ? {} : { rangeIs };
    const signal = goneSignal(reply);
    const isHere = deps.cached().store.get(digest)?.complete === true;
    const origin = isHere ? told : await ownAccount({ digest, origin: told }, signal);
    const asked = { digest, size, origin, ...(wanted.kind === 'part' ? { range, ...meaning } : {}) };
    const bytes = blobs.open(asked, { signal })[Symbol.asyncIterator]();
    // The first bytes decide between an error that can still be told and a body.
    const first = await bytes.next();
    reply.hijack();
    const response = reply.raw;
    response.writeHead(200, {
      'content-length': range.end - range.start,
      'content-type': 'application/octet-stream',
    });
    try {
      for (let next = first; next.done !== true; next = await bytes.next()) {
        await writeChunk(clock, response, next.value, signal);
      }
      response.end();
    } catch (error) {
      log.warn({ digest, error: describeError(error) }, 'a local reader was cut off');
      response.destroy();
      await bytes.return?.();
    }
  });

  server.setErrorHandler((error, _request, reply) => {
    const known = error instanceof DamselflyError;
    const code = known ? error.code : error instanceof z.ZodError ? 'CONFIG_INVALID' : 'INTERNAL';
    if (!known) log.warn({ error: describeError(error) }, 'local request failed');
    return reply
      .code(known ? ERROR_CODES[error.code].status : code === 'CONFIG_INVALID' ? 400 : 500)
      .send({ code, message: known ? error.message : describeError(error), facts: known ? error.facts : {} });
  });

  return server;
}

/** The trace that the command which asks is part of. */
function tracedBy(headers: IncomingHttpHeaders): { readonly traceparent?: string } {
  const traceparent = readTraceparent(headers['traceparent']);
  return traceparent === undefined ? {} : { traceparent };
}

/** A successor is started as we were; it takes over from us. */
function successorArgs(args: readonly string[]): string[] {
  return [...args.filter((arg) => arg !== '--upgrade'), '--upgrade'];
}

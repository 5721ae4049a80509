import { chmod, mkdir, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { parseDigest } from '../../lib/core/digest.ts';
import { DamselflyError, describeError, ERROR_CODES } from '../../lib/core/errors.ts';
import { parseRange } from '../../lib/core/range.ts';
import { createLazyServer } from '../../lib/observe/lazy-server.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { writeChunk } from '../../registry-proxy/answer.ts';
import { MAX_SOCKET_PATH_BYTES, ORIGIN_AUTHORIZATION, type PauseAnswer } from '../local-protocol.ts';
import type { Pause } from './pause.ts';
import { askRegistries } from './registry-check.ts';

export interface LocalApiDeps {
  readonly blobs: BlobSource;
  readonly origin: Pick<OriginClient, 'readManifest' | 'request' | 'upstreams'>;
  readonly pause: Pause;
  /** Answer of `/v1/status`. */
  readonly status: () => object;
  readonly clock: Clock;
  readonly log: Logger;
}

const blobQuery = z.object({
  size: z.coerce.number().int().min(0),
  upstream: z.string(),
  repository: z.string(),
});
const pauseBody = z.object({ upstream: z.string(), scope: z.enum(['node', 'cluster']).optional() });
const manifestQuery = z.object({ upstream: z.string(), repository: z.string(), reference: z.string() });

/**
 * The daemon's socket for the other dfget commands: HTTP over a Unix socket that only its owner may open. Paths are
 * versioned; errors are `{code, message, facts}`.
 * @throws CONFIG_INVALID when it cannot listen there
 */
export async function startLocalApi(deps: LocalApiDeps, path: string): Promise<{ close(): Promise<void> }> {
  const lazy = createLazyServer(() => localRoutes(deps));
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw refused(path, `longer than ${MAX_SOCKET_PATH_BYTES} bytes; give a shorter path`);
  }
  try {
    await mkdir(dirname(path), { recursive: true });
    if (await someoneListens(path)) {
      throw refused(path, 'another daemon listens there; give this one its own');
    }
    await rm(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      lazy.server.once('error', reject).listen({ path }, resolve);
    });
    await chmod(path, 0o600);
  } catch (error) {
    throw error instanceof DamselflyError ? error : refused(path, (error as Error).message);
  }
  return { close: () => lazy.close() };
}

function refused(path: string, why: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `--socket ${path}: ${why}`);
}

async function localRoutes(deps: LocalApiDeps): Promise<FastifyInstance> {
  const { blobs, clock, log, origin: registry, pause } = deps;
  const { default: fastify } = await import('fastify');
  const server = fastify({ logger: false });

  server.get('/v1/status', async () => deps.status());

  server.get('/v1/registries', async (_request, reply) => askRegistries(registry, goneSignal(reply)));

  for (const action of ['pause', 'resume'] as const) {
    server.post(`/v1/${action}`, async (request): Promise<PauseAnswer> => {
      const { scope, upstream } = pauseBody.parse(request.body);
      return await pause.change(action, upstream, scope);
    });
  }

  server.get('/v1/manifest', async (request, reply) => {
    const { reference, repository, upstream } = manifestQuery.parse(request.query);
    const read = { origin: { upstream, repository }, reference };
    const manifest = await registry.readManifest(read, { signal: goneSignal(reply) });
    return reply
      .type(manifest.mediaType)
      .header('docker-content-digest', manifest.digest)
      .send(Buffer.from(manifest.bytes));
  });

  server.get('/v1/blobs/:digest', async (request, reply) => {
    const digest = parseDigest((request.params as { digest: string }).digest);
    const { repository, size, upstream } = blobQuery.parse(request.query);
    const secret = request.headers[ORIGIN_AUTHORIZATION];
    const origin = { upstream, repository, ...(typeof secret === 'string' ? { authorization: secret } : {}) };
    const wanted = parseRange(request.headers.range, size);
    if (wanted.kind === 'unsatisfiable') {
      throw new DamselflyError('RANGE_INVALID', 'the range lies outside the blob');
    }
    const range = wanted.kind === 'part' ? wanted.range : { start: 0, end: size };
    const asked = { digest, size, origin, ...(wanted.kind === 'part' ? { range } : {}) };
    const signal = goneSignal(reply);
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

/** Fires when the client has gone before the answer was complete. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new DamselflyError('ABORTED', 'the client went away'));
  });
  return controller.signal;
}

/** A socket file may be left from a daemon that was killed: only one that answers is in use. */
function someoneListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

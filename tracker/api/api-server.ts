import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { DamselflyError, describeError, ERROR_CODES } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import { MEMBER_ROLES } from '../../lib/security/identity.ts';
import { shownCertificate } from '../../lib/security/system/mutual-tls.ts';
import type { TrackerMetrics } from '../metrics.ts';
import type { PreheatPlans } from '../preheat/plans/preheat-plans.ts';
import type { PreheatJobs } from '../preheat/preheat-jobs.ts';
import type { RegistryNames } from '../preheat/registry-names.ts';
import { admitCaller } from './admit-caller.ts';
import { CreationLimit } from './creation-limit.ts';
import { addDragonflyV1Api } from './dragonfly-v1-api.ts';
import { addDragonflyV2Api } from './dragonfly-v2-api.ts';
import type { FollowedKeys } from './follow-api-keys.ts';
import { addHarborWebhookApi } from './harbor-webhook-api.ts';
import { addPlansApi } from './plans-api.ts';
import { addPreheatApi, type PreheatApiDeps } from './preheat-api.ts';
import type { PushCounter } from './pushed-images.ts';
import { addRegistryEventsApi } from './registry-events-api.ts';

/** A thousand events of a registry are some 800 KiB. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** What is answered here; the rest of the port is somebody else's. */
const OURS =
  /^\/(?:api\/v1\/(?:preheats|preheat-plans|webhooks)|_ping|healthy|health|preheats|oapi\/v1\/jobs|registry\/notifications)(?=[/?]|$)/;

export interface ApiServerDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: TrackerMetrics;
  readonly jobs: PreheatJobs;
  readonly plans: PreheatPlans;
  readonly names: RegistryNames;
  readonly keys: FollowedKeys;
  /** Who the tracker is; without it nobody proves to be a member. */
  readonly credentials: Credentials | undefined;
}

export interface ApiServer {
  /** @returns false for other paths */
  answer(request: IncomingMessage, response: ServerResponse): boolean;
  close(): Promise<void>;
}

/** The tracker's API for preheating, on its public port. The framework is loaded with the first request. */
export function createApiServer(deps: ApiServerDeps): ApiServer {
  const { log } = deps;
  let loading: Promise<FastifyInstance> | undefined;
  return {
    answer(request, response) {
      if (!OURS.test(request.url ?? '')) return false;
      loading ??= routes(deps).catch((error: unknown) => {
        // The next request tries again.
        loading = undefined;
        throw error;
      });
      loading.then(
        (app) => app.routing(request, response),
        (error: unknown) => {
          log.error({ problem: describeError(error) }, 'the API cannot be loaded');
          response.destroy();
        },
      );
      return true;
    },
    async close() {
      await (await loading?.catch(() => undefined))?.close();
    },
  };
}

async function routes(deps: ApiServerDeps): Promise<FastifyInstance> {
  const { clock, credentials, jobs, keys, log, metrics, names, plans } = deps;
  const { default: fastify } = await import('fastify');
  const app = fastify({ logger: false, bodyLimit: MAX_BODY_BYTES });
  // What a form or a script of a web page may send to another site without asking is read by nobody.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    /^application\/(?:json|[\w.-]+\+json)(?:;|$)/,
    { parseAs: 'string' },
    (_request, body, done) => {
      try {
        done(null, JSON.parse(String(body)));
      } catch {
        done(new DamselflyError('CONFIG_INVALID', 'the body is not JSON'));
      }
    },
  );

  app.addHook('onRequest', async (request, reply) => {
    const { headers, method, socket } = request.raw;
    const isMember = isMemberOf(credentials, socket);
    const admission = admitCaller(
      { method: method ?? '', headers, isMember, remoteAddress: socket.remoteAddress },
      keys.keys,
    );
    if (admission.admitted) return;
    metrics.refused.inc({ reason: 'api' });
    log.warn(
      { remoteHost: socket.remoteAddress, method, reason: admission.why },
      'a request to the API is refused',
    );
    // Harbor and people's tools ask with one of these once they know.
    if (admission.status === 401) void reply.header('www-authenticate', 'Basic realm="damselfly", Bearer');
    const message = admission.why;
    await reply.code(admission.status).send({ code: 'CALLER_REFUSED', message, facts: {} });
  });

  const limit = new CreationLimit();
  const limited = async <T>(make: () => Promise<T>): Promise<T> => {
    const waitMs = limit.take(clock.now());
    if (waitMs === 0) return await make();
    throw new DamselflyError('JOB_REFUSED', 'too many jobs were asked for in a short time', { waitMs });
  };
  const api: PreheatApiDeps = {
    jobs,
    registryOf: (host) => names.of(host),
    create: (wish, authorization) => limited(() => jobs.create(wish, authorization)),
  };
  const count: PushCounter = (outcome, why) => {
    metrics.preheatEvents.inc({ outcome });
    if (why === undefined) return;
    log.warn({ problem: describeError(why) }, 'an image that was pushed is not preheated');
  };
  addPreheatApi(app, api);
  addPlansApi(app, plans, limited);
  addDragonflyV1Api(app, api);
  addDragonflyV2Api(app, api);
  addRegistryEventsApi(app, api, count);
  addHarborWebhookApi(app, api, count);

  app.setNotFoundHandler(async (_request, reply) =>
    reply.code(404).send({ code: 'INTERNAL', message: 'nothing here', facts: {} }),
  );
  app.setErrorHandler((error, _request, reply) => tell(error, reply, log));
  await app.ready();
  return app;
}

function isMemberOf(credentials: Credentials | undefined, socket: IncomingMessage['socket']): boolean {
  if (credentials === undefined || !(socket instanceof TLSSocket) || !socket.authorized) return false;
  return credentials.check(shownCertificate(socket), MEMBER_ROLES).kind === 'member';
}

/** Mistakes of the caller, whatever status their codes have elsewhere. */
const BAD_REQUESTS: ReadonlySet<string> = new Set(['CONFIG_INVALID', 'REFERENCE_INVALID', 'DIGEST_INVALID']);

function tell(error: unknown, reply: FastifyReply, log: Logger): FastifyReply {
  if (error instanceof DamselflyError) {
    const { code, facts, message } = error;
    const { waitMs } = facts;
    if (typeof waitMs === 'number') void reply.header('retry-after', Math.ceil(waitMs / 1000));
    return reply.code(BAD_REQUESTS.has(code) ? 400 : ERROR_CODES[code].status).send({ code, message, facts });
  }
  if (error instanceof z.ZodError) {
    // What was sent is not repeated: it may hold a secret.
    const message = error.issues
      .map((issue) => `${issue.path.join('.')}: ${issue.message}`)
      .join('; ')
      .slice(0, 1000);
    return reply.code(400).send({ code: 'CONFIG_INVALID', message, facts: {} });
  }
  const { statusCode } = error as { readonly statusCode?: number };
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    const message = describeError(error);
    return reply.code(statusCode).send({ code: 'CONFIG_INVALID', message, facts: {} });
  }
  log.error({ problem: describeError(error) }, 'a request to the API failed');
  return reply.code(500).send({ code: 'INTERNAL', message: 'internal error', facts: {} });
}

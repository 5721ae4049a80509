import fastify from 'fastify';
import { z } from 'zod';
import { DamselflyError } from '../../../lib/core/errors.ts';
import type { JobView, PreheatWishText } from '../../../lib/wire/preheat-messages.ts';
import { addDragonflyV1Api } from '../../../tracker/api/dragonfly-v1-api.ts';
import { addDragonflyV2Api } from '../../../tracker/api/dragonfly-v2-api.ts';
import { addHarborWebhookApi } from '../../../tracker/api/harbor-webhook-api.ts';
import { addPreheatApi, type PreheatApiDeps } from '../../../tracker/api/preheat-api.ts';
import { addRegistryEventsApi } from '../../../tracker/api/registry-events-api.ts';
import type { PreheatJobs } from '../../../tracker/preheat/preheat-jobs.ts';
import { parseWish } from '../../../tracker/preheat/wish.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const manifest = 'https://harbor.corp/v2/team/app/manifests/v1';
const push = {
  action: 'push',
  target: {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest,
    repository: 'app',
    url: manifest,
  },
  request: { host: 'harbor.corp' },
};
const resources = [{ digest, resource_url: 'harbor.corp/team/app:v1' }, { resource_url: 'x:' }];
const v2 = { type: 'image', url: manifest, scope: 'all_peers', headers: { Authorization: 'Basic x' } };

/** A job of any wish, without anything done. */
const created = async (wish: PreheatWishText): Promise<JobView> => {
  const { platforms, text } = parseWish(wish, 'all');
  promise(platforms.length <= 16 && (text.tags?.length ?? 0) <= 256, 'a wish has an end');
  return { ...view, ...{ image: wish.image } };
};
const view = {
  ...{ id: 1, image: 'harbor.corp/app:v1', state: 'failed', createdAtMs: 1, failures: [], nodes: 'all' },
  ...{ targets: { total: 1, done: 1, failed: 0 }, images: [], bytes: 0, totalBytes: 0 },
} as unknown as JobView;
const known = (id: number): JobView | undefined => (id === 1 ? view : undefined);
const jobs = {
  ...{ create: created, get: known, cancel: known, succeeded: () => undefined },
  ...{ list: () => [view], machines: () => [] },
} as unknown as PreheatJobs;
const api: PreheatApiDeps = { jobs, registryOf: (host) => host, create: created };
const app = fastify({ logger: false });
/** What no answer to a caller should come of. */
const seen: { unexpected?: Error } = {};
const note = (error: unknown): void => {
  const isExpected = error instanceof DamselflyError || error instanceof z.ZodError;
  if (!isExpected) seen.unexpected = error instanceof Error ? error : new Error(String(error));
};
const count = (_outcome: string, why?: unknown): void => {
  if (why !== undefined) note(why);
};
addPreheatApi(app, api);
addDragonflyV1Api(app, api);
addDragonflyV2Api(app, api);
addRegistryEventsApi(app, api, count);
addHarborWebhookApi(app, api, count);
app.setErrorHandler(async (error, _request, reply) => {
  note(error);
  return reply.code(400).send({});
});
await app.ready();

const ROUTES = [
  ...['/api/v1/preheats', '/preheats', '/oapi/v1/jobs', '/registry/notifications', '/api/v1/webhooks/harbor'],
];
const asked = (route: number, body: unknown): string => JSON.stringify({ route, body });

export const target: FuzzTarget = {
  about: 'what people, Harbor and registries send to the preheat APIs of a tracker',
  parsers: {
    'tracker/api/preheat-api.ts': ['authorizationOf', 'known'],
    'tracker/api/dragonfly-v2-api.ts': ['nodesOf', 'timeoutOf', 'basicOf', 'shown'],
    'tracker/api/registry-events-api.ts': ['pushedImage', 'lowerCased'],
    'tracker/api/harbor-webhook-api.ts': ['pushedImage'],
    'tracker/api/pushed-images.ts': ['preheatPushed'],
  },
  form: 'json',
  corpus: [
    asked(0, { image: 'harbor.corp/app:v1', platforms: 'all', nodes: 3, authorization: 'Bearer x' }),
    asked(0, { image: 'harbor.corp/app:v1', authorization: '' }),
    asked(0, { image: 'harbor.corp/app:v1', authorization: '\n' }),
    asked(1, { type: 'image', url: manifest, headers: { authorization: 'Basic x' }, digest }),
    asked(2, { type: 'preheat', args: { ...v2, count: 3, timeout: 60 }, scheduler_cluster_ids: [7] }),
    asked(2, { type: 'preheat', args: { ...v2, percentage: 10, timeout: 6e10, platform: 'linux/arm64' } }),
    asked(2, { type: 'preheat', args: { ...v2, scope: 'all_seed_peers', headers: null } }),
    asked(2, { type: 'preheat', args: { ...v2, headers: {}, username: 'a', password: 'b' } }),
    asked(2, { type: 'preheat', args: { ...v2, headers: {}, scope: '', username: 'a' } }),
    asked(3, {
      Events: [push, { ...push, request: null, target: { ...push.target, url: '', tag: 'v1' } }, 7],
    }),
    asked(3, {
      events: [
        { ...push, action: 'pull' },
        { ...push, target: { ...push.target, digest: 'x' } },
      ],
    }),
    asked(4, { type: 'PUSH_ARTIFACT', event_data: { resources } }),
    asked(4, { type: 'harbor.artifact.pushed', data: { resources: [...resources, ...resources] } }),
    asked(4, { type: 'DELETE_ARTIFACT' }),
    '1',
    '99',
    'x',
  ],
  parse: async (input) => {
    const question = questionIn(input.toString());
    if (question !== undefined) {
      const url = ROUTES[Number(question.route) % ROUTES.length] ?? ROUTES[0];
      const headers = { 'content-type': 'application/json' };
      const payload = JSON.stringify(question.body ?? null);
      const { statusCode } = await app.inject({ method: 'POST', url: url as string, headers, payload });
      promise(statusCode < 500, `an answer, not ${statusCode}`);
    } else {
      const id = encodeURIComponent(input.toString('latin1').slice(0, 50));
      await app.inject({ method: 'GET', url: `/api/v1/preheats/${id}` });
    }
    const { unexpected } = seen;
    delete seen.unexpected;
    if (unexpected !== undefined) throw unexpected;
  },
};

function questionIn(text: string): { readonly route?: unknown; readonly body?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    // Bodies that are no JSON are refused before any of this.
    return undefined;
  }
}

import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { DamselflyError } from '../../lib/core/errors.ts';
import { parseReference } from '../../lib/oci/reference.ts';
import type { JobState, JobView, PreheatWishText } from '../../lib/wire/preheat-messages.ts';
import { imageOf, parseManifestUrl } from '../preheat/manifest-url.ts';
import { authorizationOf, known, type PreheatApiDeps, registryHeaders } from './preheat-api.ts';

/** From here on a number is Go's duration, in nanoseconds, as Dragonfly takes it; below, seconds. */
const NANOSECONDS_FROM = 1_000_000;
/** There is one cluster here; a caller that names none means it. */
const THE_CLUSTER = 1;

const args = z.object({
  type: z.enum(['image', 'cnai']),
  url: z.string().max(2048),
  headers: registryHeaders.nullish(),
  username: z.string().optional(),
  password: z.string().optional(),
  platform: z.string().max(256).optional(),
  scope: z.enum(['', 'single_seed_peer', 'all_seed_peers', 'all_peers']).optional(),
  percentage: z.int().min(0).max(100).nullish(),
  count: z.int().min(0).nullish(),
  ips: z.array(z.string()).max(0, 'machines cannot be chosen by address here').nullish(),
  timeout: z.number().min(0).nullish(),
});
const body = z.object({
  type: z.literal('preheat'),
  args,
  scheduler_cluster_ids: z.array(z.int()).max(100).nullish(),
});

/** Harbor knows these three. */
const STATES: Readonly<Record<JobState, string>> = {
  waiting: 'PENDING',
  running: 'PENDING',
  succeeded: 'SUCCESS',
  failed: 'FAILURE',
  canceled: 'FAILURE',
};

/**
 * The job API of Dragonfly 2, which Harbor speaks from 2.12 on: numbers of jobs are numbers. Seed peers are supernodes:
 * of those it is always the owners that have a blob, so both scopes of seed peers are the same here.
 */
export function addDragonflyV2Api(app: FastifyInstance, deps: PreheatApiDeps): void {
  const { create, jobs, registryOf } = deps;
  app.get('/healthy', async (_request, reply) => reply.type('text/plain').send('OK'));

  app.post('/oapi/v1/jobs', async (request) => {
    const { args: asked, scheduler_cluster_ids: clusters } = body.parse(request.body ?? {});
    const place = parseManifestUrl(asked.url);
    const job = await create(
      {
        image: imageOf(registryOf(place.host), place),
        ...(asked.platform ? { platforms: [asked.platform] } : {}),
        ...nodesOf(asked),
        ...timeoutOf(asked.timeout ?? 0),
      },
      authorizationOf(asked.headers) ?? basicOf(asked),
    );
    return shown(job, clusters?.[0]);
  });

  app.get('/oapi/v1/jobs', async () => jobs.list(100).map((job) => shown(job, undefined)));
  app.get('/oapi/v1/jobs/:id', async (request) =>
    shown(
      known(request.params, (id) => jobs.get(id)),
      undefined,
    ),
  );
  app.delete('/oapi/v1/jobs/:id', async (request) =>
    shown(
      known(request.params, (id) => jobs.cancel(id)),
      undefined,
    ),
  );
}

function nodesOf({ count, percentage, scope }: z.output<typeof args>): Pick<PreheatWishText, 'nodes'> {
  if (scope === undefined || scope === '') return {};
  if (scope !== 'all_peers') return { nodes: 'supernodes' };
  if (count) return { nodes: String(count) };
  return { nodes: percentage ? `${percentage}%` : 'all' };
}

function timeoutOf(timeout: number): Pick<PreheatWishText, 'timeout'> {
  if (timeout === 0) return {};
  const ms = timeout >= NANOSECONDS_FROM ? timeout / 1e6 : timeout * 1000;
  return { timeout: `${Math.max(1, Math.round(ms))}ms` };
}

function basicOf({ password, username }: z.output<typeof args>): string | undefined {
  if (!username) return undefined;
  if (password === undefined) {
    throw new DamselflyError('CONFIG_INVALID', 'args: a username without a password');
  }
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function shown(job: JobView, cluster = THE_CLUSTER): object {
  const { createdAtMs, error, failures, finishedAtMs, id, image, startedAtMs, state, targets } = job;
  const { digest, registry, repository, tag } = parseReference(image);
  const url = `https://${registry}/v2/${repository}/manifests/${digest ?? tag ?? ''}`;
  const failed = failures.map(({ error: why, node }) => ({
    ...{ url, hostname: node, ip: '', description: `${why.code}: ${why.message}` },
  }));
  return {
    id,
    created_at: new Date(createdAtMs).toISOString(),
    updated_at: new Date(finishedAtMs ?? startedAtMs ?? createdAtMs).toISOString(),
    task_id: String(id),
    type: 'preheat',
    state: STATES[state],
    args: { type: 'image', url },
    result: {
      state: STATES[state],
      job_states: [
        {
          task_uuid: String(id),
          task_name: 'preheat',
          state: STATES[state],
          error: error === undefined ? '' : `${error.code}: ${error.message}`,
          results: [
            {
              scheduler_cluster_id: cluster,
              success_tasks:
                targets.done === 0 ? [] : [{ url, hostname: `${targets.done} machines`, ip: '' }],
              failure_tasks: failed,
            },
          ],
        },
      ],
    },
  };
}

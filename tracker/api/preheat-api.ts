import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { DamselflyError } from '../../lib/core/errors.ts';
import { wishText } from '../../lib/wire/preheat-codec.ts';
import {
  type JobView,
  MAX_AUTHORIZATION_CHARS,
  type PreheatWishText,
} from '../../lib/wire/preheat-messages.ts';
import type { PreheatJobs } from '../preheat/preheat-jobs.ts';

/** What the ways to make jobs have in common. */
export interface PreheatApiDeps {
  readonly jobs: PreheatJobs;
  /** The registry that is meant by the host of a URL. */
  readonly registryOf: (host: string) => string;
  /** A job that a request asks for. @throws also JOB_REFUSED when there are too many requests */
  readonly create: (wish: PreheatWishText, authorization?: string) => Promise<JobView>;
}

/** Headers for the registry, as drivers send them: of these the Authorization is used. */
export const registryHeaders = z.record(z.string(), z.string().max(MAX_AUTHORIZATION_CHARS));

/** @throws CONFIG_INVALID when it could not be sent */
export function authorizationOf(
  headers: Readonly<Record<string, string>> | null | undefined,
): string | undefined {
  const [, value] =
    Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'authorization') ?? [];
  if (value === undefined || value === '') return undefined;
  if (/^[ -~]+$/.test(value)) return value;
  throw new DamselflyError('CONFIG_INVALID', 'the Authorization for the registry is no header value');
}

const text = z.union([z.string(), z.number()]).transform(String);
const createBody = z.strictObject({
  ...wishText.shape,
  platforms: z.union([wishText.shape.platforms, z.literal('all').transform(() => ['all'])]),
  nodes: text.optional(),
  batch: text.optional(),
  authorization: z.string().max(MAX_AUTHORIZATION_CHARS).optional(),
});
const listQuery = z.object({ limit: z.coerce.number().int().min(1).max(1000).default(100) });

/** `/api/v1/preheats`: makes, lists, shows and cancels jobs. */
export function addPreheatApi(app: FastifyInstance, { create, jobs }: PreheatApiDeps): void {
  app.post('/api/v1/preheats', async (request, reply) => {
    const { authorization, ...wish } = createBody.parse(request.body ?? {});
    const job = await create(wish, authorizationOf(authorization === undefined ? {} : { authorization }));
    return reply.code(201).header('location', `/api/v1/preheats/${job.id}`).send(job);
  });

  app.get('/api/v1/preheats', async (request) => ({
    preheats: jobs.list(listQuery.parse(request.query).limit),
  }));

  app.get('/api/v1/preheats/:id', async (request) => {
    const job = known(request.params, (id) => jobs.get(id));
    return { ...job, machines: jobs.machines(job.id) };
  });

  app.delete('/api/v1/preheats/:id', async (request) => known(request.params, (id) => jobs.cancel(id)));
}

/** The job that a path names. @throws JOB_UNKNOWN */
export function known(params: unknown, find: (id: number) => JobView | undefined): JobView {
  const { id } = params as { readonly id: string };
  const job = /^\d{1,15}$/.test(id) ? find(Number(id)) : undefined;
  if (job !== undefined) return job;
  throw new DamselflyError('JOB_UNKNOWN', `this tracker has no job ${id.slice(0, 20)}; another one may`);
}

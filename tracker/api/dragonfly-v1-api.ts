import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { JobState, JobView } from '../../lib/wire/preheat-messages.ts';
import { imageOf, parseManifestUrl } from '../preheat/manifest-url.ts';
import { authorizationOf, known, type PreheatApiDeps, registryHeaders } from './preheat-api.ts';

/** So long an image counts as brought already, when it is asked for by digest again. */
const ALREADY_MS = 10 * 60_000;

const body = z.object({
  type: z.literal('image'),
  url: z.string().max(2048),
  headers: registryHeaders.nullish(),
  digest: z.string().optional(),
});

/**
 * FAIL, not FAILED as Dragonfly says: Harbor 2.1 to 2.7 would ask again for half an hour, later ones take both
 * (goharbor/harbor, src/pkg/p2p/preheat/provider/dragonfly.go).
 */
const STATUS: Readonly<Record<JobState, string>> = {
  waiting: 'WAITING',
  running: 'RUNNING',
  succeeded: 'SUCCESS',
  failed: 'FAIL',
  canceled: 'FAIL',
};

/** The preheat API of Dragonfly 1 and 2.0, which Harbor 2.1 to 2.11 speaks: numbers of jobs are texts. */
export function addDragonflyV1Api(app: FastifyInstance, deps: PreheatApiDeps): void {
  const { create, jobs, registryOf } = deps;
  app.get('/_ping', async (_request, reply) => reply.type('text/plain').send('OK'));

  app.post('/preheats', async (request, reply) => {
    const { digest, headers, url } = body.parse(request.body ?? {});
    const place = parseManifestUrl(url);
    // What the tag meant when Harbor looked.
    const reference = digest !== undefined && digest !== '' ? digest : place.reference;
    const wish = { image: imageOf(registryOf(place.host), { ...place, reference }) };
    const before = reference === digest ? jobs.succeeded(wish, ALREADY_MS) : undefined;
    const job = before ?? (await create(wish, authorizationOf(headers)));
    return reply.code(before === undefined ? 201 : 208).send({ ID: String(job.id) });
  });

  app.get('/preheats', async () => jobs.list(100).map(shown));
  app.get('/preheats/:id', async (request) => shown(known(request.params, (id) => jobs.get(id))));
  app.delete('/preheats/:id', async (request) => shown(known(request.params, (id) => jobs.cancel(id))));
}

function shown({ createdAtMs, error, finishedAtMs, id, startedAtMs, state }: JobView): object {
  return {
    ID: String(id),
    startTime: new Date(startedAtMs ?? createdAtMs).toISOString(),
    ...(finishedAtMs === undefined ? {} : { finishTime: new Date(finishedAtMs).toISOString() }),
    errorMsg: error?.message ?? '',
    Status: STATUS[state],
  };
}

import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { isDigest } from '../../lib/core/digest.ts';
import { isRepository, isTag } from '../../lib/oci/names.ts';
import { imageOf } from '../preheat/manifest-url.ts';
import type { PreheatApiDeps } from './preheat-api.ts';
import { type PushCounter, preheatPushed } from './pushed-images.ts';

/** Events in one notification that are looked at. */
const MAX_EVENTS = 10_000;
const MANIFESTS = /manifest|image\.index/;

const name = z.string().max(2048).catch('');
const event = z.object({
  action: name,
  target: z.object({ mediatype: name, digest: name, repository: name, url: name, tag: name }).partial(),
  request: z.object({ host: name }).partial().nullish().catch(undefined),
});

/**
 * `/registry/notifications`: events of a registry (distribution, docs/content/about/notifications.md), and of Harbor's
 * Kraken driver, which spells the same names as Go does. A push of a manifest becomes a job; everything else is answered
 * and left alone, since a registry sends again what it gets no 2xx for.
 */
export function addRegistryEventsApi(app: FastifyInstance, deps: PreheatApiDeps, count: PushCounter): void {
  app.get('/health', async (_request, reply) => reply.type('text/plain').send('OK'));

  app.post('/registry/notifications', async (request, reply) => {
    const events = z
      .object({ events: z.array(z.unknown()).max(MAX_EVENTS) })
      .parse(lowerCased(request.body, 1));
    const images = events.events.map((each) => {
      const read = event.safeParse(lowerCased(each, 2));
      return read.success ? pushedImage(read.data, deps) : undefined;
    });
    await preheatPushed(deps, images, count);
    return reply.code(202).send({});
  });
}

function pushedImage(
  { action, request, target }: z.output<typeof event>,
  { registryOf }: PreheatApiDeps,
): string | undefined {
  const { digest = '', mediatype = '', repository = '', tag = '', url = '' } = target;
  if (action !== 'push' || !MANIFESTS.test(mediatype) || !isRepository(repository)) return undefined;
  const reference = isDigest(digest) ? digest : tag;
  if (!isDigest(reference) && !isTag(reference)) return undefined;
  const host = URL.canParse(url) ? new URL(url).host : request?.host;
  return host ? imageOf(registryOf(host), { repository, reference }) : undefined;
}

/** The same with lower-case names, so many levels deep. */
function lowerCased(value: unknown, levels: number): unknown {
  if (levels === 0 || typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key.toLowerCase(), lowerCased(each, levels - 1)]),
  );
}

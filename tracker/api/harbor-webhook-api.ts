import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { isDigest } from '../../lib/core/digest.ts';
import { parseReference } from '../../lib/oci/reference.ts';
import { imageOf } from '../preheat/manifest-url.ts';
import type { PreheatApiDeps } from './preheat-api.ts';
import { type PushCounter, preheatPushed } from './pushed-images.ts';

const MAX_RESOURCES = 1000;
/** In the words of Harbor from 2.0 on, before that, and as CloudEvents. */
const PUSHES: ReadonlySet<string> = new Set(['PUSH_ARTIFACT', 'pushImage', 'harbor.artifact.pushed']);

const eventData = z.object({
  resources: z
    .array(z.object({ digest: z.string().optional(), resource_url: z.string().max(2048) }))
    .max(MAX_RESOURCES),
});
const webhook = z.object({
  type: z.string(),
  event_data: z.unknown().optional(),
  data: z.unknown().optional(),
});

/** `/api/v1/webhooks/harbor`: webhooks of Harbor, of both formats (goharbor/harbor, src/pkg/notifier/formats). */
export function addHarborWebhookApi(app: FastifyInstance, deps: PreheatApiDeps, count: PushCounter): void {
  app.post('/api/v1/webhooks/harbor', async (request, reply) => {
    const { data, event_data, type } = webhook.parse(request.body ?? {});
    if (PUSHES.has(type)) {
      const { resources } = eventData.parse(event_data ?? data);
      const images = resources.map(({ digest, resource_url: url }) => pushedImage(url, digest, deps));
      await preheatPushed(deps, images, count);
    } else count('ignored');
    return reply.code(202).send({});
  });
}

function pushedImage(
  url: string,
  digest: string | undefined,
  { registryOf }: PreheatApiDeps,
): string | undefined {
  try {
    const { registry, repository, tag, digest: named } = parseReference(url.replace(/^https?:\/\//, ''));
    const reference = digest !== undefined && isDigest(digest) ? digest : (named ?? tag);
    return reference === undefined ? undefined : imageOf(registryOf(registry), { repository, reference });
  } catch {
    return undefined;
  }
}

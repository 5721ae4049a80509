import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { goneSignal } from '../daemon/gone-signal.ts';
import type { Share, Unshared } from './share-protocol.ts';
import type { Shares } from './shares.ts';

/** Manifests of an image with many platforms, in base64. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_NAME_CHARS = 200;

const shareBody = z.object({
  source: z.string().max(1000),
  // It becomes a file on other machines.
  name: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._@+-]*$/)
    .max(MAX_NAME_CHARS),
  parts: z
    .array(
      z.union([
        z.object({ digest: z.string(), size: z.number().int().min(0) }),
        z.object({ bytes: z.base64() }),
      ]),
    )
    .max(20_000),
  passkey: z
    .string()
    .regex(/^[\w.-]{16,160}$/, 'expected a passkey of `damselfly token create --bittorrent`')
    .optional(),
});

/** `/v1/shares` of the daemon's socket: what it shares with BitTorrent clients. */
export function addShareApi(server: FastifyInstance, shares: () => Shares): void {
  server.get('/v1/shares', async (): Promise<readonly Share[]> => shares().list);

  server.post(
    '/v1/shares',
    { bodyLimit: MAX_BODY_BYTES },
    async (request, reply): Promise<Share> =>
      await shares().share(shareBody.parse(request.body), goneSignal(reply)),
  );

  server.delete(
    '/v1/shares/:infoHash',
    async (request): Promise<Unshared> => ({
      removed: await shares().unshare((request.params as { infoHash: string }).infoHash),
    }),
  );
}

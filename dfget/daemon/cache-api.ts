import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { parseBlobKey, parseDigest } from '../../lib/core/digest.ts';
import { MAX_BLOB_BYTES } from '../../lib/core/geometry.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import type { NodeCache } from '../../lib/transfer/blobs/node-cache.ts';
import type { CacheListing, Collected, ImportedImage, RemovedBlob } from '../local-protocol.ts';
import type { Shares } from '../torrent/shares.ts';
import { goneSignal } from './gone-signal.ts';
import type { ImportedImages } from './imported-images.ts';

export interface CacheApiDeps {
  readonly store: BlobStore;
  readonly cache: NodeCache;
  readonly images: ImportedImages;
  readonly shares: Pick<Shares, 'needs'>;
}

const digests = z.array(z.string()).max(100_000);
const removeBody = z.object({ digests, image: z.string().optional() });
const pinBody = z.object({ digests });
const imageBody = z.object({ image: z.string(), digest: z.string(), mediaType: z.string() });
const sizeQuery = z.object({ size: z.coerce.number().int().min(0).max(MAX_BLOB_BYTES) });

/** `/v1/cache` of the daemon's socket: what its store holds, and what people do to that by hand. */
export function addCacheApi(server: FastifyInstance, held: () => CacheApiDeps): void {
  server.get('/v1/cache', async (): Promise<CacheListing> => {
    const { images, store } = held();
    const blobs = store.list().map(({ borrowed = false, bytes, complete, info, pinned, usedAtMs }) => ({
      ...{ digest: info.digest, size: info.size, held: bytes },
      ...{ complete, pinned, borrowed, usedAtMs },
    }));
    return { blobs, images: images.list };
  });

  server.post('/v1/cache/remove', async (request): Promise<RemovedBlob[]> => {
    const { cache, images, shares, store } = held();
    const { digests: wanted, image } = removeBody.parse(request.body);
    const removed: RemovedBlob[] = [];
    for (const digest of wanted.map(parseBlobKey)) {
      const bytes = store.get(digest)?.bytes ?? 0;
      const outcome = images.needs(digest, image)
        ? 'imported'
        : shares.needs(digest)
          ? 'shared'
          : await cache.remove(digest);
      removed.push({ digest, outcome, bytes: outcome === 'removed' ? bytes : 0 });
    }
    if (image !== undefined) await images.forget(image);
    return removed;
  });

  for (const action of ['pin', 'unpin'] as const) {
    // True for those that are here.
    server.post(`/v1/cache/${action}`, async (request): Promise<Record<string, boolean>> => {
      const { store } = held();
      const done: Record<string, boolean> = {};
      for (const digest of pinBody.parse(request.body).digests.map(parseBlobKey)) {
        done[digest] = await store[action](digest);
      }
      return done;
    });
  }

  server.post('/v1/cache/gc', async (): Promise<Collected> => held().cache.collect());

  server.post(
    '/v1/cache/images',
    async (request): Promise<ImportedImage> => held().images.add(imageBody.parse(request.body)),
  );

  server.put('/v1/cache/blobs/:digest', async (request, reply): Promise<{ readonly isNew: boolean }> => {
    const digest = parseDigest((request.params as { digest: string }).digest);
    const { size } = sizeQuery.parse(request.query);
    const body = request.body as Readable;
    // A client that is still sending would not hear the answer: the rest is read too.
    const bytes = (): AsyncIterable<Uint8Array> => body.iterator({ destroyOnReturn: false });
    try {
      return { isNew: await held().cache.add({ digest, size }, bytes(), goneSignal(reply)) };
    } finally {
      await drain(bytes());
    }
  });
}

async function drain(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    const iterator = bytes[Symbol.asyncIterator]();
    while ((await iterator.next()).done !== true);
  } catch {
    // The client is gone.
  }
}

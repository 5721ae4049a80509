import t from 'tap';
import type { BlobRequest } from '../../lib/core/blob-source.ts';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { PreheatLink } from '../../lib/discovery/preheat-port.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { MEDIA_TYPES } from '../../lib/oci/media-types.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { PreheatWorker } from '../../lib/transfer/preheat/preheat-worker.ts';
import { type ResolveOrder, resolveImages } from '../../lib/transfer/preheat/resolve-images.ts';

const ORDER: ResolveOrder = {
  ...{ type: 'preheat-resolve', task: 'a.r0', upstream: 'memory.test', repository: 'app' },
  ...{ reference: 'v1', platforms: ['all'] },
};

/** A registry's manifests: an index of two platforms that have a layer in common. */
function twoPlatforms() {
  const manifests = new Map<string, { bytes: Buffer; mediaType: string; digest: Digest }>();
  const add = (mediaType: string, content: object) => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...content }));
    const manifest = { bytes, mediaType, digest: digestOf(bytes) };
    manifests.set(manifest.digest, manifest);
    return { digest: manifest.digest, mediaType, size: bytes.length };
  };
  const blob = (text: string) => ({
    ...{ mediaType: 'application/octet-stream', size: text.length, digest: digestOf(Buffer.from(text)) },
  });
  const platforms = ['amd64', 'arm64'].map((architecture) => ({
    ...add(MEDIA_TYPES.ociManifest, {
      config: blob(architecture),
      layers: [blob('base'), blob(`of ${architecture}`)],
    }),
    platform: { os: 'linux', architecture },
  }));
  const index = add(MEDIA_TYPES.ociIndex, { manifests: platforms });
  const found = (reference: string) => manifests.get(reference === 'v1' ? index.digest : reference);
  const origin = {
    readManifest: async ({ reference }: { readonly reference: string }) => {
      const manifest = found(reference);
      if (manifest === undefined) throw new Error(`no ${reference}`);
      return manifest;
    },
    readTags: async () => ['v1'],
  };
  return { listing: platforms.map(({ digest }) => digest), origin, blob };
}

t.test(
  'of each blob it is known which manifest lists it, from the registry to who asks for the right',
  async (t) => {
    const { blob, listing, origin } = twoPlatforms();
    const [image] = await resolveImages(origin, ORDER, new AbortController().signal);
    t.same(image?.manifests, listing, 'the index itself lists no blobs');
    const asked: BlobRequest[] = [];
    const worker = new PreheatWorker(
      { clock: new FakeClock(), origin, log: silentLog(), metrics: createMetrics({ defaults: false }) },
      { labels: {}, parallel: 1, fetch: async (request) => void asked.push(request) },
    );
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const link: PreheatLink = { id: 'ws://tracker', connected: true, send: () => resolve() };
    const { blobs = [], manifests = [] } = image ?? {};
    worker.heard(link, {
      ...{ type: 'preheat', task: 'a.b', upstream: 'memory.test', repository: 'app', everyMs: 500 },
      ...{ blobs, manifests },
    });
    await done;
    const [amd64, arm64] = listing;
    t.same(
      asked.map(({ digest, listedBy }) => [digest, listedBy]),
      [
        [blob('amd64').digest, amd64],
        [blob('base').digest, amd64],
        [blob('of amd64').digest, amd64],
        [blob('arm64').digest, arm64],
        [blob('of arm64').digest, arm64],
      ],
    );
  },
);

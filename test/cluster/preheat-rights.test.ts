import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { MEDIA_TYPES } from '../../lib/oci/media-types.ts';
import { MemoryCluster } from './memory-cluster.ts';

const LAYER = 200_000;
const never = { signal: new AbortController().signal };
const start = (options: Partial<Parameters<typeof MemoryCluster.start>[0]>) =>
  MemoryCluster.start({ seed: 1, nodes: 5, supernodes: 2, identities: true, capabilities: true, ...options });

/** A manifest in the registry that lists these. */
function manifestOf(cluster: MemoryCluster, layers: readonly Digest[], size = LAYER): Digest {
  const [config = '', ...rest] = layers.map((digest) => ({ mediaType: 'application/x', digest, size }));
  const text = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: rest });
  return cluster.origin.add(Buffer.from(text));
}

/** As each is ordered to: one blob after the other, on an account of its own. */
async function preheatAll(cluster: MemoryCluster, blobs: readonly Digest[], listedBy?: Digest, size = LAYER) {
  await Promise.all(
    cluster.nodes.map(async ({ engine, name }) => {
      const origin = { upstream: 'memory.test', repository: 'team/app', authorization: `Bearer ${name}` };
      for (const digest of blobs) await engine.preheat({ digest, size, origin, listedBy }, never);
    }),
  );
}

t.test('a node asks once for the right to all blobs of an image, and not for each', async (t) => {
  const cluster = await start({});
  const layers = Array.from({ length: 12 }, () => cluster.blob(LAYER));
  await cluster.until(preheatAll(cluster, layers, manifestOf(cluster, layers)));
  const { asked } = cluster.origin;
  t.same(
    asked.filter((path) => !path.includes('/manifests/')),
    [],
  );
  t.equal(
    asked.length,
    cluster.nodes.length,
    `${asked.length} questions for ${cluster.nodes.length} accounts`,
  );
  for (const digest of layers) t.equal(cluster.origin.ratio(digest), 1);
});

t.test(
  'a manifest that does not list the blob, or is not there, leaves the question for the blob',
  async (t) => {
    const cluster = await start({ nodes: 1, supernodes: 1 });
    const [listed, other, third] = [cluster.blob(LAYER), cluster.blob(LAYER), cluster.blob(LAYER)];
    await cluster.until(preheatAll(cluster, [other], manifestOf(cluster, [listed])));
    await cluster.until(preheatAll(cluster, [third], `sha256:${'0'.repeat(64)}` as Digest));
    const blobs = cluster.origin.asked.filter((path) => path.includes('/blobs/'));
    t.same(
      blobs,
      [other, third].map((digest) => `/v2/team/app/blobs/${digest}`),
    );
    for (const digest of [other, third]) t.equal(cluster.origin.ratio(digest), 1);
  },
);

t.test('a manifest that gives no right is not asked for with each blob', async (t) => {
  const cluster = await start({ nodes: 1, supernodes: 1 });
  const layers = Array.from({ length: 6 }, () => cluster.blob(LAYER));
  await cluster.until(preheatAll(cluster, layers, `sha256:${'0'.repeat(64)}` as Digest));
  const manifests = cluster.origin.asked.filter((path) => path.includes('/manifests/'));
  t.equal(manifests.length, 1);
  for (const digest of layers) t.equal(cluster.origin.ratio(digest), 1);
});

t.test('what is brought for longer than a capability lives goes on from the swarm', async (t) => {
  const rate = 8 * 1024;
  const size = rate * 8 * 60;
  const cluster = await start({ nodes: 2, supernodes: 1, originBytesPerSecond: rate });
  const layers = [cluster.blob(size), cluster.blob(size)];
  const manifest = manifestOf(cluster, layers, size);
  await cluster.until(preheatAll(cluster, layers, manifest, size), 40 * 60_000);
  for (const digest of layers) t.equal(cluster.origin.ratio(digest), 1);
  t.equal(cluster.origin.asked.length, 2, 'renewed within the session');
});

import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 20 * MIB;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };

for (const supernodes of [0, 1]) {
  t.test(`a manifest brings its layers, with ${supernodes} supernodes`, async (t) => {
    const { cluster, layers, node } = await started({ seed: 1, supernodes, prefetch: true });
    node.engine.prepare(layers.map((digest) => ({ digest, size: SIZE, origin: ORIGIN })));
    await cluster.run(20_000);
    for (const digest of layers) {
      t.match(node.deps.store.get(digest), { complete: true });
      t.equal(cluster.origin.ratio(digest), 1, 'read once');
    }
    const startedMs = cluster.clock.now();
    t.equal(await cluster.until(cluster.pull(node, layers[0] as Digest, SIZE)), layers[0]);
    t.equal(cluster.clock.now(), startedMs, 'its client waits for nothing');
  });

  t.test(`what a client waits for comes first, with ${supernodes} supernodes`, async (t) => {
    const seconds: number[] = [];
    for (const prefetch of [false, true]) {
      const { cluster, layers, node } = await started({ seed: 2, supernodes, prefetch });
      const wanted = layers.at(-1) as Digest;
      node.engine.prepare(layers.map((digest) => ({ digest, size: SIZE, origin: ORIGIN })));
      const startedMs = cluster.clock.now();
      t.equal(await cluster.until(cluster.pull(node, wanted, SIZE)), wanted);
      seconds.push((cluster.clock.now() - startedMs) / 1000);
    }
    const [without = 0, beside = 0] = seconds;
    t.ok(beside <= without * 1.5, `${beside} s beside prefetching, ${without} s without`);
  });
}

t.test('without the habit a manifest brings nothing large', async (t) => {
  const { cluster, layers, node } = await started({ seed: 3, supernodes: 1, prefetch: false });
  node.engine.prepare(layers.map((digest) => ({ digest, size: SIZE, origin: ORIGIN })));
  await cluster.run(10_000);
  t.same(node.deps.store.list(), []);
  for (const digest of layers) t.equal(cluster.origin.ratio(digest), 0);
});

t.test('what is here is not fetched, and what the registry refuses ends by itself', async (t) => {
  const { cluster, layers, node } = await started({ seed: 4, supernodes: 0, prefetch: true });
  const [first, second] = layers as [Digest, Digest];
  await cluster.until(cluster.pull(node, first, SIZE));
  await node.deps.store.remove(second);
  const unknown = `sha256:${'0'.repeat(64)}` as Digest;
  node.engine.prepare([first, unknown].map((digest) => ({ digest, size: SIZE, origin: ORIGIN })));
  await cluster.run(10_000);
  t.equal(cluster.origin.ratio(first), 1);
  t.match(node.deps.store.list(), [{ complete: true }, { bytes: 0 }]);
  await cluster.run(6 * 60_000);
  t.match(node.deps.store.list(), [{ info: { digest: first } }]);
  t.equal(node.disk.openFiles, 0);
});

async function started({ prefetch, ...options }: { seed: number; supernodes: number; prefetch: boolean }) {
  const cluster = await MemoryCluster.start({ nodes: 1, ...options, habits: { prefetch } });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  return { cluster, node, layers: Array.from({ length: 4 }, () => cluster.blob(SIZE)) };
}

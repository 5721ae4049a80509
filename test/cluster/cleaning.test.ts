import t from 'tap';
import { MemoryCluster } from './memory-cluster.ts';

const SIZE = 1024 * 1024;
const LONG_MS = 5 * 60_000 + 15_000;

t.test(
  'blobs that nobody asks for any more leave memory, on nodes and supernodes, and are counted',
  async (t) => {
    const cluster = await MemoryCluster.start({ seed: 1, nodes: 2, supernodes: 1 });
    const digest = cluster.blob(SIZE);
    await cluster.until(Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE))));
    const all = [...cluster.nodes, ...cluster.supernodes];
    const figure = async (name: string): Promise<number[]> =>
      await Promise.all(
        all.map(async ({ deps }) => {
          const text = await deps.metrics.registry.getSingleMetricAsString(`damselfly_${name}`);
          return Number(/[ ](\d+)$/.exec(text)?.[1] ?? 0);
        }),
      );
    t.same(await figure('swarms'), [1, 1, 1]);
    t.same(await figure('cleaned_total'), [0, 0, 0]);
    await cluster.run(LONG_MS);
    t.same(await figure('swarms'), [0, 0, 0]);
    t.same(await figure('cleaned_total'), [1, 1, 1]);
    const before = cluster.origin.ratio(digest);
    t.equal(await cluster.until(cluster.pull(await cluster.addNode('late'), digest, SIZE)), digest);
    t.equal(cluster.origin.ratio(digest), before, 'what is on disk is shared again');
  },
);

import t from 'tap';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** Four stripes, so that two supernodes read it between them. */
const SIZE = 64 * MIB;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };
/** Of each machine; the registry is far faster. */
const LINE = 12 * MIB;

const start = (seed: number, nodes: number): Promise<MemoryCluster> =>
  MemoryCluster.start({ seed, nodes, supernodes: 2, nodeBytesPerSecond: LINE });

/** Bytes that the supernodes alone hold. */
const alone = ({ supernodes }: MemoryCluster): number =>
  supernodes.reduce((sum, { engine }) => sum + engine.unsharedBytes(), 0);

t.test('supernodes that die have read little that no node holds, and it is read once more', async (t) => {
  const cluster = await start(1, 4);
  const digest = cluster.blob(SIZE);
  const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE)));
  let most = 0;
  while (cluster.origin.ratio(digest) < 0.6) {
    await cluster.run(20);
    most = Math.max(most, alone(cluster));
  }
  t.ok(most <= 26 * MIB, `at most ${(most / MIB).toFixed(1)} MiB with supernodes alone`);
  const lost = alone(cluster) / SIZE;
  for (const supernode of cluster.supernodes) cluster.crash(supernode);
  t.ok((await cluster.until(pulls)).every((got) => got === digest));
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio <= 1.05 + lost, `registry bytes ${ratio.toFixed(3)}x, ${lost.toFixed(3)}x lost`);
});

t.test('that costs no time: the line to the nodes is never idle', async (t) => {
  const cluster = await start(2, 4);
  const digest = cluster.blob(SIZE);
  const startedMs = cluster.clock.now();
  const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE)));
  t.ok((await cluster.until(pulls)).every((got) => got === digest));
  const tookMs = cluster.clock.now() - startedMs;
  t.ok(tookMs <= 1.15 * (SIZE / LINE) * 1000, `${tookMs} ms`);
});

t.test('what a supernode is to have itself it reads at once, however slowly nodes take', async (t) => {
  const cluster = await start(3, 1);
  const digest = cluster.blob(SIZE);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const pull = cluster.pull(node, digest, SIZE);
  const { signal } = new AbortController();
  const preheats = cluster.supernodes.map(({ engine }) =>
    engine.preheat({ digest, size: SIZE, origin: ORIGIN }, { signal }),
  );
  await cluster.run(2000);
  t.equal(cluster.origin.ratio(digest), 1);
  await cluster.until(Promise.all(preheats));
  t.equal(await cluster.until(pull), digest);
});

t.test(
  'a site whose nodes take slowly does not slow down another one, which gets it from there',
  async (t) => {
    const slow = { downloadRate: 64 * 1024 };
    const cluster = await MemoryCluster.start({
      ...{ seed: 4, nodes: 2, supernodes: 2, zones: ['slow', 'fast'], sites: ['slow', 'fast'] },
      ...{ nodeBytesPerSecond: LINE, limits: (name) => (name === 'node0' ? slow : {}) },
    });
    await cluster.run(20);
    const digest = cluster.blob(SIZE);
    const [slowNode, fastNode] = cluster.nodes;
    if (slowNode === undefined || fastNode === undefined) throw new Error('no nodes');
    void cluster.pull(slowNode, digest, SIZE).catch(() => {});
    const startedMs = cluster.clock.now();
    t.equal(await cluster.until(cluster.pull(fastNode, digest, SIZE)), digest);
    const tookMs = cluster.clock.now() - startedMs;
    // The supernode of that site gives half of it to the other one too.
    t.ok(tookMs <= 1.05 * ((1.5 * SIZE) / LINE) * 1000, `${tookMs} ms`);
    t.equal(cluster.origin.ratio(digest), 1);
  },
);

t.test('with a token that may run out before the next request it asks for all at once', async (t) => {
  const requests = async (authorization: { readonly authorization?: string }): Promise<number> => {
    const cluster = await start(4, 2);
    // Of two stripes: one supernode reads them.
    const size = SIZE / 2;
    const digest = cluster.blob(size);
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    const origin = { ...ORIGIN, ...authorization };
    const read = async (): Promise<number> => {
      let bytes = 0;
      for await (const chunk of node.engine.open({ digest, size, origin }, new AbortController())) {
        bytes += chunk.length;
      }
      return bytes;
    };
    t.equal(await cluster.until(read()), size);
    t.equal(cluster.origin.ratio(digest), 1);
    return cluster.origin.requests;
  };
  t.equal(await requests({ authorization: 'Bearer of-alice' }), 1);
  t.ok((await requests({ authorization: 'Basic of-alice' })) > 1);
  t.ok((await requests({})) > 1);
});

import t from 'tap';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 4 * MIB;

for (const supernodes of [0, 1]) {
  for (const wrong of [SIZE - 1, SIZE + 1, 1000]) {
    t.test(
      `a manifest that is wrong about a size (${wrong}) keeps nobody else from the blob, with ${supernodes} supernodes`,
      async (t) => {
        const cluster = await MemoryCluster.start({ seed: 11, nodes: 2, supernodes });
        const [node, other] = cluster.nodes;
        if (node === undefined || other === undefined) throw new Error('nodes');
        const digest = cluster.blob(SIZE);
        const misled = cluster.pull(node, digest, wrong).then(
          () => 'got it',
          (error: unknown) => (error as { code?: string }).code,
        );
        await cluster.run(20);
        const honest = Promise.all([node, other].map((each) => cluster.pull(each, digest, SIZE)));
        t.same(await cluster.until(honest), [digest, digest]);
        t.equal(await cluster.until(misled), 'UPSTREAM_BROKEN');
        t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
      },
    );
  }
}

t.test('of a blob that is here, nobody gets a beginning that looks whole', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 12, nodes: 1, supernodes: 0 });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('node');
  const digest = cluster.blob(SIZE);
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
  for (const wrong of [SIZE - 1, SIZE + 1]) {
    await t.rejects(cluster.until(cluster.pull(node, digest, wrong)), { code: 'UPSTREAM_BROKEN' });
  }
});

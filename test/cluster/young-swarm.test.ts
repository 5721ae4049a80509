import t from 'tap';
import { MemoryCluster } from './memory-cluster.ts';

const KIB = 1024;
/** One piece. */
const SIZE = 256 * KIB;
/** More than a supernode looks after. */
const CROWD = 48;

function stepsIn({ events }: MemoryCluster): number[] {
  return events.flatMap(({ event }, at) => (event.kind === 'fallback' ? [at] : []));
}

t.test('a crowd waits for the first piece of a slow registry, and spares it', async (t) => {
  // The first piece is there after two and a half seconds; most nodes are not linked to the supernode.
  const cluster = await MemoryCluster.start({
    seed: 1,
    nodes: CROWD,
    supernodes: 1,
    originBytesPerSecond: 100 * KIB,
  });
  const digest = cluster.blob(SIZE);
  const got = await cluster.until(
    Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE))),
    30_000,
  );
  t.ok(got.every((each) => each === digest));
  t.same(stepsIn(cluster), []);
  t.equal(cluster.origin.ratio(digest), 1);
});

t.test('where no supernode is, nobody waits so long', async (t) => {
  const cluster = await MemoryCluster.start({
    seed: 2,
    nodes: 3,
    supernodes: 0,
    originBytesPerSecond: 100 * KIB,
  });
  const digest = cluster.blob(SIZE);
  const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE)));
  await cluster.run(2600);
  t.ok(stepsIn(cluster).length > 0);
  t.ok((await cluster.until(pulls, 30_000)).every((each) => each === digest));
});

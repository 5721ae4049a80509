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

t.test('a crowd waits for a tracker that takes its time, and reads nothing past the supernode', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 3, nodes: 8, supernodes: 1 });
  // The answer is there after 1.2 s: without patience all would have stepped in at 0.6 s.
  cluster.tracker.latencyMs = 600;
  const digest = cluster.blob(SIZE);
  const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE)));
  t.ok((await cluster.until(pulls, 30_000)).every((each) => each === digest));
  t.same(stepsIn(cluster), []);
  t.equal(cluster.origin.ratio(digest), 1);
});

t.test('a tracker that never answers keeps no client waiting for 5 s', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 4, nodes: 2, supernodes: 1 });
  cluster.tracker.latencyMs = 60_000;
  const digest = cluster.blob(SIZE);
  const startedMs = cluster.clock.now();
  const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE)));
  await cluster.run(2900);
  t.same(stepsIn(cluster), [], 'patient for a while');
  t.ok((await cluster.until(pulls, 30_000)).every((each) => each === digest));
  t.ok(cluster.clock.now() - startedMs < 5000, `${cluster.clock.now() - startedMs} ms`);
});

import t from 'tap';
import { blobPath } from '../../lib/store/path.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 4 * MIB;
/** Pieces of a blob of that size. */
const PIECE = 256 * 1024;

t.test('a byte that was changed on a node disk is fetched again, and never served', async (t) => {
  for (const opened of [false, true]) {
    const cluster = await MemoryCluster.start({ seed: 5, nodes: 3, supernodes: 1 });
    const digest = cluster.blob(SIZE);
    const [node, other] = cluster.nodes;
    if (node === undefined || other === undefined) throw new Error('nodes');
    t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
    // Half an hour later its file is closed.
    if (!opened) await cluster.run(30 * 60_000);
    t.equal(node.disk.openFiles, opened ? 1 : 0);
    node.disk.flip(blobPath(`/${node.name}`, digest), 3 * PIECE + 5);
    t.equal(
      await cluster.until(cluster.pull(other, digest, SIZE)),
      digest,
      'another node, which may ask this one',
    );
    const before = cluster.events.length;
    t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
    const fetched = cluster.events
      .slice(before)
      .flatMap(({ event, who }) => (who === node.name && event.kind === 'piece' ? [event.index] : []));
    t.ok(
      fetched.length <= 1 && fetched.every((index) => index === 3),
      `fetched again: ${fetched.join(', ')}`,
    );
    t.match(node.deps.store.get(digest), { complete: true, bytes: SIZE });
    t.match(await node.deps.store.verify(digest), { lost: 0 });
    t.match(
      await node.deps.metrics.registry.getSingleMetricAsString('damselfly_pieces_rejected_total'),
      /disk/,
    );
    t.equal(cluster.origin.sentBytes.get(digest), SIZE, 'from the swarm');
  }
});

t.test('a byte changed on the disk of the supernode that read the blob reaches no node', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 6, nodes: 2, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  const [first, second] = cluster.nodes;
  const [supernode] = cluster.supernodes;
  if (first === undefined || second === undefined || supernode === undefined) throw new Error('members');
  t.equal(await cluster.until(cluster.pull(first, digest, SIZE)), digest);
  cluster.crash(first);
  for (const piece of [2, 7]) supernode.disk.flip(blobPath(`/${supernode.name}`, digest), piece * PIECE);
  t.equal(await cluster.until(cluster.pull(second, digest, SIZE)), digest);
  t.notOk(
    cluster.events.some(({ event }) => event.kind === 'piece-rejected'),
    'nobody was sent a wrong piece',
  );
});

t.test(
  'a node with a full disk passes the blob on to its client without storing it, and says so',
  async (t) => {
    const cluster = await MemoryCluster.start({ seed: 7, nodes: 2, supernodes: 1 });
    const [node, other] = cluster.nodes;
    if (node === undefined || other === undefined) throw new Error('nodes');
    const old = cluster.blob(MIB);
    t.equal(await cluster.until(cluster.pull(node, old, MIB)), old);
    const digest = cluster.blob(SIZE);
    // The disk fills in the middle of the blob, and the old one is too small, or in use, to help.
    const pulling = cluster.pull(node, digest, SIZE);
    await cluster.run(40);
    t.ok((node.deps.store.get(digest)?.bytes ?? 0) < SIZE, 'in the middle');
    node.disk.fillUpAfter(PIECE / 2);
    t.equal(await cluster.until(pulling), digest);
    const says = await node.deps.metrics.registry.getSingleMetricAsString('damselfly_passed_on_total');
    t.match(says, / 1$/m);
    t.equal(cluster.origin.sentBytes.get(digest), SIZE, 'from the swarm');
    t.equal(await cluster.until(cluster.pull(other, digest, SIZE)), digest, 'the others are not concerned');

    const next = cluster.blob(SIZE + 1);
    t.equal(await cluster.until(cluster.pull(node, next, SIZE + 1)), next, 'full from the start');
    t.equal(node.deps.store.get(next), undefined);
    node.disk.heal();
    const last = cluster.blob(SIZE + 2);
    t.equal(await cluster.until(cluster.pull(node, last, SIZE + 2)), last);
    t.match(node.deps.store.get(last), { complete: true }, 'stored again once there is room');
  },
);

t.test('a node with a full disk removes what nobody uses, and stores on', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 1, supernodes: 1 });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('nodes');
  const old = cluster.blob(SIZE);
  t.equal(await cluster.until(cluster.pull(node, old, SIZE)), old);
  await cluster.run(30 * 60_000);
  const digest = cluster.blob(SIZE);
  const pulling = cluster.pull(node, digest, SIZE);
  await cluster.run(40);
  node.disk.fillUpAfter(PIECE / 2);
  t.equal(await cluster.until(pulling), digest);
  await cluster.run(1000);
  t.equal(node.deps.store.get(old), undefined);
  t.match(node.deps.store.get(digest), { complete: true });
});

t.test('a supernode with a full disk: its nodes read for themselves', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 9, nodes: 3, supernodes: 1 });
  cluster.supernodes[0]?.disk.fillUpAfter(MIB);
  const digest = cluster.blob(SIZE);
  const pulls = await cluster.until(
    Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE))),
  );
  t.same(pulls, [digest, digest, digest]);
});

t.test('a blob that the disk could not commit is committed when a client reads it again', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 10, nodes: 1, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  node.disk.fail(['rename'], 'EIO');
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest, 'the client does not notice');
  t.match(node.deps.store.get(digest), { complete: false, bytes: SIZE });
  node.disk.heal();
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
  await cluster.run(100);
  t.match(node.deps.store.get(digest), { complete: true });
});

import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };
/** Many more pieces than a node has in memory of a blob that it does not store. */
const SIZE = 12 * MIB;
/** What a reader of such a blob sends from. */
const SENDING = 8 * MIB;

/** A cluster whose last node has no room for a blob that the others have yet to pull. */
async function withFullDisk(seed: number): Promise<{ cluster: MemoryCluster; digest: Digest }> {
  const cluster = await MemoryCluster.start({ seed, nodes: 4, supernodes: 1 });
  cluster.nodes.at(-1)?.disk.fillUpAfter(0);
  return { cluster, digest: cluster.blob(SIZE) };
}

/** A node that pulls from its supernode for three seconds. */
async function onePair() {
  const options = { seed: 1, nodes: 1, supernodes: 1, nodeBytesPerSecond: 4 * MIB };
  const cluster = await MemoryCluster.start(options);
  const [node] = cluster.nodes;
  const [supernode] = cluster.supernodes;
  if (node === undefined || supernode === undefined) throw new Error('no node or no supernode');
  return { cluster, digest: cluster.blob(SIZE), node, supernode };
}

function metric(cluster: MemoryCluster, name: string): Promise<string> {
  const node = cluster.nodes.at(-1);
  if (node === undefined) throw new Error('no node');
  return node.deps.metrics.registry.getSingleMetricAsString(`damselfly_${name}`);
}

t.test('a node with a full disk pulls with the others, and the registry is read once', async (t) => {
  for (const seed of [1, 2]) {
    const { cluster, digest } = await withFullDisk(seed);
    const pulls = await cluster.until(
      Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE))),
    );
    t.same(
      pulls,
      cluster.nodes.map(() => digest),
    );
    t.equal(cluster.origin.sentBytes.get(digest), SIZE);
    t.match(await metric(cluster, 'passed_on_total'), / 1$/m);
    const node = cluster.nodes.at(-1);
    t.equal(node?.deps.store.get(digest)?.complete ?? false, false);
    await cluster.run(1000);
    t.equal(node?.deps.pool.usedBytes, 0, 'its memory is free again');
    if (node === undefined) return;
    t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest, 'and once more');
    t.equal(cluster.origin.sentBytes.get(digest), SIZE);
  }
});

t.test('a disk that fills in the middle: what is on it is not fetched again', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 4, nodes: 4, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  const node = cluster.nodes.at(-1);
  node?.disk.fillUpAfter(SIZE / 2);
  const pulls = await cluster.until(
    Promise.all(cluster.nodes.map((each) => cluster.pull(each, digest, SIZE))),
  );
  t.same(
    pulls,
    cluster.nodes.map(() => digest),
  );
  t.equal(cluster.origin.sentBytes.get(digest), SIZE);
  t.match(await metric(cluster, 'passed_on_total'), / 1$/m);
});

t.test('memory for what is passed on stays bounded, however large the blob', async (t) => {
  const { cluster, digest } = await withFullDisk(5);
  const node = cluster.nodes.at(-1);
  if (node === undefined) return;
  let got = 0;
  let most = 0;
  const bytes = node.engine.open(
    { digest, size: SIZE, origin: ORIGIN },
    { signal: new AbortController().signal },
  );
  await cluster.until(
    (async () => {
      for await (const chunk of bytes) {
        got += chunk.length;
        most = Math.max(most, node.deps.pool.usedBytes);
      }
    })(),
  );
  t.equal(got, SIZE);
  t.ok(most - SENDING < SIZE - 2 * MIB, `${most} bytes`);
});

t.test('when the swarm goes, the rest comes from the registry, checked against the digest', async (t) => {
  const { cluster, digest } = await withFullDisk(6);
  const node = cluster.nodes.at(-1);
  const [supernode] = cluster.supernodes;
  if (node === undefined || supernode === undefined) return;
  const pulling = cluster.pull(node, digest, SIZE);
  await cluster.run(100);
  t.match(await metric(cluster, 'passed_on_total'), / 1$/m);
  t.notMatch(await metric(cluster, 'fallback_total'), /reason="store"/);
  cluster.crash(supernode);
  t.equal(await cluster.until(pulling), digest);
  t.match(await metric(cluster, 'fallback_total'), /reason="store"/);
});

t.test(
  'so it does when disk and swarm go at once, in the middle of a piece that the disk did not take',
  async (t) => {
    for (const goneAfterMs of [0, 20, 300]) {
      const { cluster, digest, node, supernode } = await onePair();
      const pulling = cluster.pull(node, digest, SIZE);
      await cluster.run(750);
      node.disk.fillUpAfter(0);
      await cluster.run(goneAfterMs);
      cluster.crash(supernode);
      t.equal(await cluster.until(pulling), digest, `the swarm goes ${goneAfterMs} ms after the disk`);
    }
  },
);

t.test('a client whose disk does not even give back what it took leaves nothing behind', async (t) => {
  const { cluster, digest, node } = await onePair();
  const pulling = cluster.pull(node, digest, SIZE).catch(() => 'cut');
  await cluster.run(1500);
  node.disk.fail(['write', 'read'], 'EIO');
  await cluster.until(pulling);
  t.match(await metric(cluster, 'passed_on_total'), / 1$/m);
  node.disk.heal();
  await cluster.run(1000);
  t.equal(node.deps.pool.usedBytes, 0, 'its memory is free again');
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
  t.equal(cluster.origin.sentBytes.get(digest), SIZE, 'the next pull is from the swarm');
});

t.test('a blob that is wrong as a whole is not handed out to its end', async (t) => {
  const { cluster, digest } = await withFullDisk(7);
  const node = cluster.nodes.at(-1);
  if (node === undefined) return;
  cluster.origin.lie = digest;
  cluster.origin.lieAt = MIB;
  let got = 0;
  const bytes = node.engine.open(
    { digest, size: SIZE, origin: ORIGIN },
    { signal: new AbortController().signal },
  );
  await t.rejects(
    cluster.until(
      (async () => {
        for await (const chunk of bytes) got += chunk.length;
      })(),
    ),
    { code: 'DIGEST_MISMATCH' },
  );
  t.ok(got <= SIZE - 64 * 1024, `${got} bytes`);
});

t.test('a second client of a blob that is passed on gets it from the registry', async (t) => {
  const { cluster, digest } = await withFullDisk(8);
  const node = cluster.nodes.at(-1);
  if (node === undefined) return;
  const first = cluster.pull(node, digest, SIZE);
  await cluster.run(100);
  const second = cluster.pull(node, digest, SIZE);
  t.same(await cluster.until(Promise.all([first, second])), [digest, digest]);
});

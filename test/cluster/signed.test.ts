import type { Counter } from 'prom-client';
import t from 'tap';
import { SIGNATURE_BYTES } from '../../lib/core/proof.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 6 * MIB + 5;

async function countOf(counter: Counter<never> | Counter<'reason'>): Promise<number> {
  return (await counter.get()).values.reduce((sum, { value }) => sum + value, 0);
}

async function bansOf(cluster: MemoryCluster): Promise<number> {
  const members = [...cluster.nodes, ...cluster.supernodes];
  const counts = await Promise.all(members.map(({ deps }) => countOf(deps.metrics.peersBanned)));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function strikesOf(cluster: MemoryCluster): Promise<number> {
  const members = [...cluster.nodes, ...cluster.supernodes];
  const counts = await Promise.all(members.map(({ deps }) => countOf(deps.metrics.strikes)));
  return counts.reduce((sum, count) => sum + count, 0);
}

t.test('with identities each byte is read once, and every piece is kept with its signature', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 1, nodes: 6, supernodes: 2, identities: true });
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), Array(6).fill(digest));
  t.equal(cluster.origin.ratio(digest), 1);
  t.ok(
    cluster.events.some(({ event }) => event.kind === 'piece' && event.source === 'peer'),
    'nodes share',
  );
  for (const { deps } of cluster.nodes) {
    const stored = await deps.store.open(digest);
    t.equal(stored?.proof(0)?.signature.length, SIGNATURE_BYTES);
    await stored?.close();
  }
  t.equal(await bansOf(cluster), 0);
});

t.test(
  'without a supernode, nodes believe the one that has the lease, whoever passes its pieces on',
  async (t) => {
    const cluster = await MemoryCluster.start({ seed: 2, nodes: 12, supernodes: 0, identities: true });
    const digest = cluster.blob(SIZE);
    const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
    t.same(await cluster.until(Promise.all(pulls)), Array(12).fill(digest));
    t.ok(cluster.origin.ratio(digest) < 1.5, `registry bytes ${cluster.origin.ratio(digest)}x`);
    t.equal(await bansOf(cluster), 0);
  },
);

t.test(
  'when the supernode dies, nodes go on, with what it signed and what they read themselves',
  async (t) => {
    for (const seed of [3, 4, 5]) {
      const rates = { nodeBytesPerSecond: 20 * MIB, originBytesPerSecond: 20 * MIB };
      const cluster = await MemoryCluster.start({
        seed,
        nodes: 6,
        supernodes: 1,
        identities: true,
        ...rates,
      });
      const digest = cluster.blob(SIZE);
      const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
      await cluster.run(150);
      for (const supernode of cluster.supernodes) cluster.crash(supernode);
      t.same(await cluster.until(Promise.all(pulls)), Array(6).fill(digest));
      t.ok(cluster.origin.ratio(digest) < 2, `seed ${seed}: registry bytes ${cluster.origin.ratio(digest)}x`);
      t.equal(await bansOf(cluster), 0);
    }
  },
);

t.test('a blob that a node has from elsewhere is believed from itself', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 6, nodes: 2, supernodes: 0, identities: true });
  const [holder, other] = cluster.nodes as [Member<PeerEngine>, Member<PeerEngine>];
  const digest = cluster.blob(SIZE);
  t.equal(await cluster.until(cluster.pull(holder, digest, SIZE)), digest);
  const before = cluster.origin.ratio(digest);
  t.equal(await cluster.until(cluster.pull(other, digest, SIZE)), digest);
  t.equal(cluster.origin.ratio(digest), before, 'nothing more is read from the registry');
});

t.test('one bad answer of the registry bans nobody: one strike, and the next attempt is right', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 7, nodes: 4, supernodes: 1, identities: true });
  const digest = cluster.blob(SIZE);
  cluster.origin.lie = digest;
  const pull = (node: Member<PeerEngine>): Promise<unknown> =>
    cluster.pull(node, digest, SIZE).catch((error: { code?: string }) => error.code);
  const first = await cluster.until(Promise.all(cluster.nodes.map(pull)));
  t.same(first, Array(4).fill('DIGEST_MISMATCH'));
  cluster.origin.lie = undefined;
  t.same(await cluster.until(Promise.all(cluster.nodes.map(pull))), Array(4).fill(digest));
  t.ok((await strikesOf(cluster)) > 0, 'it was noticed whose pieces were wrong');
  t.equal(await bansOf(cluster), 0);
});

t.test('a signer whose reads are wrong twice, where another read is right, is banned', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 4, supernodes: 1, identities: true });
  const [liar] = cluster.supernodes;
  if (liar === undefined) throw new Error('no supernode');
  for (const repository of ['team/one', 'team/two']) {
    const digest = cluster.blob(SIZE);
    const pull = (node: Member<PeerEngine>): Promise<unknown> =>
      cluster.pull(node, digest, SIZE, repository).catch((error: { code?: string }) => error.code);
    t.equal(await bansOf(cluster), 0, 'nobody is banned before the second');
    cluster.liedTo.set(liar.name, digest);
    const first = await cluster.until(Promise.all(cluster.nodes.map(pull)));
    t.same(first, Array(4).fill('DIGEST_MISMATCH'), 'the client is cut off');
    cluster.liedTo.clear();
    t.same(await cluster.until(Promise.all(cluster.nodes.map(pull))), Array(4).fill(digest));
  }
  for (const { deps } of cluster.nodes) t.equal(await countOf(deps.metrics.peersBanned), 1);
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), Array(4).fill(digest), 'pulls go on without it');
});

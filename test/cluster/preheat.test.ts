import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 20 * MIB;
/** Twenty nodes in one process hash and copy it often enough. */
const LAYER = 4 * MIB;
/** Of more than two stripes: three supernodes read it between them. */
const LARGE = 64 * MIB;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };
const never = { signal: new AbortController().signal };

t.test('twenty nodes are preheated with one read, and each then has it without asking anybody', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 1, nodes: 20, supernodes: 1 });
  const small = cluster.blob(1000);
  const layer = cluster.blob(LAYER);
  const wanted = [
    { digest: small, size: 1000, origin: ORIGIN },
    { digest: layer, size: LAYER, origin: ORIGIN },
  ];
  await cluster.until(
    Promise.all(cluster.nodes.flatMap(({ engine }) => wanted.map((each) => engine.preheat(each, never)))),
  );
  for (const { digest } of wanted) {
    t.equal(cluster.origin.ratio(digest), 1, 'read once');
    for (const { deps } of cluster.nodes) t.match(deps.store.get(digest), { complete: true });
  }
  const before = cluster.origin.requests;
  for (const node of cluster.nodes) t.equal(await cluster.until(cluster.pull(node, layer, LAYER)), layer);
  t.equal(cluster.origin.requests, before);
});

t.test('the owners alone have it, each stripe read once, before any node is there', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 2, nodes: 1, supernodes: 4 });
  const digests = [cluster.blob(LARGE), cluster.blob(SIZE), cluster.blob(1000)];
  const sizes = [LARGE, SIZE, 1000];
  const all = digests.flatMap((digest, index) =>
    cluster.supernodes.map(({ engine }) =>
      engine.preheat({ digest, size: sizes[index] ?? 0, origin: ORIGIN }, never),
    ),
  );
  await cluster.until(Promise.all(all));
  const owners = digests.map(
    (digest) => cluster.supernodes.filter(({ deps }) => deps.store.get(digest)?.complete === true).length,
  );
  t.same(owners, [3, 1, 1]);
  for (const digest of digests) t.equal(cluster.origin.ratio(digest), 1);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const before = cluster.origin.requests;
  t.equal(await cluster.until(cluster.pull(node, digests[0] as Digest, LARGE)), digests[0]);
  t.equal(cluster.origin.requests, before, 'the node has it from them');
});

t.test('what a client waits for comes first', async (t) => {
  const seconds: number[] = [];
  for (const preheats of [false, true]) {
    const cluster = await MemoryCluster.start({ seed: 3, nodes: 1, supernodes: 1 });
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    const others = Array.from({ length: 3 }, () => cluster.blob(SIZE));
    const wanted = cluster.blob(SIZE);
    const preheat = async (): Promise<void> => {
      // One at a time, as a node is ordered to.
      for (const digest of others) await node.engine.preheat({ digest, size: SIZE, origin: ORIGIN }, never);
    };
    const preheating = preheats ? preheat() : undefined;
    const startedMs = cluster.clock.now();
    t.equal(await cluster.until(cluster.pull(node, wanted, SIZE)), wanted);
    seconds.push((cluster.clock.now() - startedMs) / 1000);
    await cluster.until(Promise.resolve(preheating));
  }
  const [without = 0, beside = 0] = seconds;
  t.ok(beside <= without * 1.5, `${beside} s beside preheating, ${without} s without`);
});

for (const supernodes of [0, 1]) {
  t.test(`a blob that the registry does not give fails, with ${supernodes} supernodes`, async (t) => {
    const cluster = await MemoryCluster.start({ seed: 4, nodes: 1, supernodes });
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    const digest = `sha256:${'0'.repeat(64)}` as Digest;
    const wanted = { digest, size: SIZE, origin: ORIGIN };
    await t.rejects(cluster.until(node.engine.preheat(wanted, never)), { code: 'UPSTREAM_REFUSED' });
    const [supernode] = cluster.supernodes;
    if (supernode === undefined) return;
    await t.rejects(cluster.until(supernode.engine.preheat(wanted, never)), { code: 'UPSTREAM_REFUSED' });
    await cluster.run(6 * 60_000);
    t.equal(supernode.disk.openFiles, 0);
    t.equal(node.disk.openFiles, 0);
  });
}

t.test('without a supernode nodes read it under leases, and the wish can be given up', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 5, nodes: 4, supernodes: 0 });
  const digest = cluster.blob(SIZE);
  const wanted = { digest, size: SIZE, origin: ORIGIN };
  await cluster.until(Promise.all(cluster.nodes.map(({ engine }) => engine.preheat(wanted, never))));
  t.ok(cluster.origin.ratio(digest) <= 1.1, String(cluster.origin.ratio(digest)));
  const other = { ...wanted, digest: cluster.blob(SIZE) };
  const ending = new AbortController();
  const given = cluster.nodes.map(({ engine }) => engine.preheat(other, { signal: ending.signal }));
  await cluster.run(20);
  ending.abort();
  await Promise.all(given.map((each) => t.rejects(cluster.until(each), { code: 'ABORTED' })));
});

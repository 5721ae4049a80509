import t from 'tap';
import { DamselflyError } from '../../lib/core/errors.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** Three stripes. */
const SIZE = 34 * MIB;

/* Registries that answer a Range with the whole blob, and no supernode to read it. */

t.test('a registry that sends no parts is read about once, by one node for all', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 1, nodes: 6, supernodes: 0 });
  cluster.origin.ranges = false;
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), Array(6).fill(digest));
  const [ratio, { requests }] = [cluster.origin.ratio(digest), cluster.origin];
  t.ok(ratio <= 1.2, `registry bytes ${ratio.toFixed(3)}x`);
  t.ok(requests <= 8, `${requests} requests`);
});

t.test('who reads it for all dies: what is missing costs what comes before it once more', async (t) => {
  const cluster = await MemoryCluster.start({
    ...{ seed: 2, nodes: 5, supernodes: 0 },
    originBytesPerSecond: 8 * MIB,
  });
  cluster.origin.ranges = false;
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  for (const pull of pulls) pull.catch(() => {});
  while (cluster.origin.ratio(digest) < 0.6) await cluster.run(5);
  const reader = cluster.events.findLast(
    ({ event }) => event.kind === 'piece' && event.source === 'origin',
  )?.who;
  const dead = cluster.nodes.findIndex(({ name }) => name === reader);
  cluster.crash(cluster.nodes[dead]!);
  const got = await cluster.until(Promise.all(pulls.filter((_, index) => index !== dead)));
  t.ok(got.every((each) => each === digest));
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio <= 0.6 + 1.3, `registry bytes ${ratio.toFixed(3)}x`);
});

t.test('without a right that peers believe each node reads it once for itself', async (t) => {
  const cluster = await MemoryCluster.start({
    ...{ seed: 3, nodes: 3, supernodes: 0 },
    ...{ identities: true, capabilities: true },
  });
  cluster.origin.open = false;
  cluster.origin.ranges = false;
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), Array(3).fill(digest));
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio <= 3 * 1.1, `registry bytes ${ratio.toFixed(3)}x by 3 nodes`);
});

t.test('while supernodes do not say who may have it a client gets it in the end', async (t) => {
  const cluster = await MemoryCluster.start({
    ...{ seed: 4, nodes: 1, supernodes: 1 },
    ...{ identities: true, capabilities: true, deskDelayMs: 600_000 },
  });
  cluster.origin.open = false;
  cluster.origin.ranges = false;
  const digest = cluster.blob(SIZE);
  t.equal(await cluster.until(cluster.pull(cluster.nodes[0]!, digest, SIZE), 60_000), digest);
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio <= 1.2, `registry bytes ${ratio.toFixed(3)}x`);
});

t.test(
  'who has read all for everybody spoils what it sends: the others read it, a few at once',
  async (t) => {
    const cluster = await MemoryCluster.start({
      ...{ seed: 5, nodes: 6, supernodes: 0, identities: true },
    });
    cluster.origin.ranges = false;
    const digest = cluster.blob(SIZE);
    const [spoiler, ...others] = cluster.nodes;
    t.equal(await cluster.until(cluster.pull(spoiler!, digest, SIZE)), digest);
    cluster.network.corrupt(spoiler!.name);
    const before = cluster.clock.now();
    const pulls = others.map((node) => cluster.pull(node, digest, SIZE));
    t.same(await cluster.until(Promise.all(pulls), 60_000), Array(5).fill(digest));
    const tookMs = cluster.clock.now() - before;
    t.ok(tookMs < 15_000, `after ${tookMs} ms`);
    const ratio = cluster.origin.ratio(digest);
    t.ok(ratio <= 1 + 4 * 1.3, `registry bytes ${ratio.toFixed(3)}x`);
    let begun = 0;
    for (const { deps } of others) {
      for (const { value } of (await deps.metrics.fallback.get()).values) begun += value;
    }
    t.ok(begun <= 12, `${begun} reads past the swarm are counted`);
  },
);

t.test(
  'who read it without a right gives it, once it is whole, to those that had asked before',
  async (t) => {
    const cluster = await MemoryCluster.start({
      ...{ seed: 6, nodes: 2, supernodes: 0, originBytesPerSecond: 2 * MIB },
      ...{ identities: true, capabilities: true },
    });
    const digest = cluster.blob(SIZE);
    const [first, second] = cluster.nodes;
    cluster.origin.failure = new DamselflyError('UPSTREAM_UNREACHABLE', 'not now');
    const early = cluster.pull(first!, digest, SIZE);
    while (cluster.origin.openAsked.length === 0) await cluster.run(1);
    cluster.origin.failure = undefined;
    while (cluster.origin.ratio(digest) < 0.8) await cluster.run(5);
    const late = cluster.pull(second!, digest, SIZE);
    t.same(await cluster.until(Promise.all([early, late])), [digest, digest]);
    const given = cluster.events.filter(
      ({ event, who }) => who === second!.name && event.kind === 'piece' && event.source === 'peer',
    );
    t.ok(given.length > 0, `${given.length} pieces from the other`);
  },
);

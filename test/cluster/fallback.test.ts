import t, { type Test } from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { MemoryCluster } from './memory-cluster.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Three stripes. */
const SIZE = 34 * MIB;
const NODES = 12;

interface Outcome {
  readonly cluster: MemoryCluster;
  /** Registry bytes, as a multiple of the blob. */
  readonly ratio: number;
  readonly tookMs: number;
  readonly reasons: readonly string[];
}

const reasonsOf = ({ events }: MemoryCluster): string[] =>
  events.flatMap(({ event }) => (event.kind === 'fallback' ? [event.reason] : []));

/** All nodes pull a fresh blob, and something happens meanwhile. Every client must get the right bytes. */
async function pullAll(
  t: Test,
  cluster: MemoryCluster,
  size: number,
  meanwhile: (digest: Digest) => Promise<void> = async () => {},
): Promise<Outcome> {
  const digest = cluster.blob(size);
  const startedMs = cluster.clock.now();
  const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, size)));
  await meanwhile(digest);
  const got = await cluster.until(pulls);
  t.equal(got.filter((each) => each !== digest).length, 0, 'every client got the right bytes');
  const tookMs = cluster.clock.now() - startedMs;
  return { cluster, ratio: cluster.origin.ratio(digest), tookMs, reasons: reasonsOf(cluster) };
}

const until = async (cluster: MemoryCluster, holds: () => boolean): Promise<void> => {
  while (!holds()) await cluster.run(5);
};

t.test('all supernodes die midway: the nodes read the rest about once', async (t) => {
  const run = async (seed: number): Promise<Outcome> => {
    const cluster = await MemoryCluster.start({ seed, nodes: NODES, supernodes: 2 });
    return await pullAll(t, cluster, SIZE, async (digest) => {
      await until(cluster, () => cluster.origin.ratio(digest) > 0.3);
      for (const supernode of cluster.supernodes) cluster.crash(supernode);
    });
  };
  const { cluster, ratio, tookMs } = await run(1);
  t.ok(ratio <= 1.3, `registry bytes ${ratio.toFixed(3)}x`);
  t.ok(tookMs < 6000, `after ${tookMs} ms`);
  t.equal((await run(1)).cluster.traceHash, cluster.traceHash, 'the same seed gives the same trace');
});

/** Nodes that know each other from an earlier pull; then whoever could help them is gone. */
async function leftAlone(t: Test): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.start({ seed: 1, nodes: NODES, supernodes: 1 });
  await pullAll(t, cluster, MIB);
  cluster.tracker.reachable = false;
  for (const supernode of cluster.supernodes) cluster.crash(supernode);
  await cluster.run(100);
  return cluster;
}

t.test(
  'trackers and supernodes are dead before the start: those who know each other share the work',
  async (t) => {
    const { cluster, ratio, tookMs } = await pullAll(t, await leftAlone(t), SIZE);
    t.ok(ratio <= 2, `registry bytes ${ratio.toFixed(3)}x with ${NODES} nodes`);
    t.ok(tookMs < 10_000, `after ${tookMs} ms`);
    t.ok(
      cluster.events.some(({ event }) => event.kind === 'piece' && event.source === 'peer'),
      'most comes from neighbours',
    );
  },
);

t.test('the tracker dies while nodes read under its leases', async (t) => {
  const cluster = await MemoryCluster.start({
    seed: 3,
    nodes: NODES,
    supernodes: 0,
    originBytesPerSecond: 8 * MIB,
  });
  const { ratio, tookMs } = await pullAll(t, cluster, SIZE, async (digest) => {
    await until(cluster, () => cluster.origin.ratio(digest) > 0.2);
    cluster.tracker.reachable = false;
  });
  t.ok(ratio <= 1.5, `registry bytes ${ratio.toFixed(3)}x`);
  t.ok(tookMs < 15_000, `after ${tookMs} ms`);
});

t.test('who reads for all dies: another one goes on, within 5 s', async (t) => {
  const size = 16 * MIB;
  const cluster = await MemoryCluster.start({
    seed: 4,
    nodes: 6,
    supernodes: 0,
    originBytesPerSecond: 4 * MIB,
  });
  const digest = cluster.blob(size);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
  for (const pull of pulls) pull.catch(() => {});
  await until(cluster, () => cluster.origin.ratio(digest) > 0.4);
  const reader = cluster.events.find(({ event }) => event.kind === 'fallback')?.who;
  const dead = cluster.nodes.findIndex(({ name }) => name === reader);
  cluster.crash(cluster.nodes[dead]!);
  const [before, diedMs] = [cluster.origin.ratio(digest), cluster.clock.now()];
  await until(cluster, () => cluster.origin.ratio(digest) > before + 0.05);
  t.ok(cluster.clock.now() - diedMs < 5000, `${cluster.clock.now() - diedMs} ms later bytes come again`);
  const got = await cluster.until(Promise.all(pulls.filter((_, index) => index !== dead)));
  t.ok(got.every((each) => each === digest));
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio <= 1.3, `registry bytes ${ratio.toFixed(3)}x`);
});

t.test('a supernode that gives nothing any more, and lives', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 5, nodes: NODES, supernodes: 1 });
  const { ratio, tookMs } = await pullAll(t, cluster, SIZE, async (digest) => {
    await until(cluster, () => cluster.origin.ratio(digest) > 0.2);
    for (const { name } of cluster.supernodes) cluster.network.stall(name);
  });
  // The supernode itself reads the blob to its end.
  t.ok(ratio <= 2.3, `registry bytes ${ratio.toFixed(3)}x`);
  t.ok(tookMs < 15_000, `after ${tookMs} ms`);
});

t.test('neighbours that hold everything and give nothing', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 6, nodes: 5, supernodes: 0 });
  const size = 4 * MIB;
  const digest = cluster.blob(size);
  const [first, ...others] = cluster.nodes;
  await cluster.until(cluster.pull(first!, digest, size));
  cluster.network.stall(first!.name);
  const startedMs = cluster.clock.now();
  const got = await cluster.until(Promise.all(others.map((node) => cluster.pull(node, digest, size))));
  t.ok(got.every((each) => each === digest));
  const [ratio, tookMs] = [cluster.origin.ratio(digest), cluster.clock.now() - startedMs];
  t.ok(ratio <= 1 + 0.5 * others.length, `registry bytes ${ratio.toFixed(3)}x`);
  t.ok(tookMs < 10_000, `after ${tookMs} ms`);
});

t.test('a slow registry is read by few, however long clients wait', async (t) => {
  const cluster = await MemoryCluster.start({
    seed: 7,
    nodes: NODES,
    supernodes: 0,
    originBytesPerSecond: 100 * KIB,
  });
  const { ratio } = await pullAll(t, cluster, 2 * MIB);
  t.ok(ratio <= 2, `registry bytes ${ratio.toFixed(3)}x with ${NODES} nodes`);
  t.ok(cluster.origin.requests <= 20, `${cluster.origin.requests} requests`);
});

t.test('a registry that lies fails the pull, and the next one succeeds', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 4, supernodes: 0 });
  const size = 4 * MIB;
  const digest = cluster.blob(size);
  cluster.origin.lie = digest;
  cluster.origin.lieAt = 3 * MIB;
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size).catch(() => 'failed'));
  const got = await cluster.until(Promise.all(pulls));
  t.notOk(
    got.some((each) => each !== digest && each !== 'failed'),
    'nobody got all of something else',
  );
  t.ok(got.includes('failed'));
  cluster.origin.lie = undefined;
  const again = await cluster.until(
    Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, size))),
  );
  t.ok(again.every((each) => each === digest));
});

t.test('a registry that was away is asked now and then, and the pulls succeed when it is back', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 9, nodes: NODES, supernodes: 0 });
  const { requests } = cluster.origin;
  let asked = 0;
  const { ratio } = await pullAll(t, cluster, 4 * MIB, async () => {
    cluster.cutOff.clear();
    for (const { name } of cluster.nodes) cluster.cutOff.add(name);
    await cluster.run(6000);
    asked = cluster.origin.requests - requests;
    cluster.cutOff.clear();
  });
  t.equal(asked, 0, 'it was away');
  t.ok(ratio <= 1.5, `registry bytes ${ratio.toFixed(3)}x`);
});

t.test('past a supernode whose registry is slow at most four at once read', async (t) => {
  const size = 512 * KIB;
  const cluster = await MemoryCluster.start({
    seed: 10,
    nodes: NODES,
    supernodes: 1,
    originBytesPerSecond: 40 * KIB,
  });
  const { ratio, reasons } = await pullAll(t, cluster, size);
  t.ok(reasons.length > 0 && reasons.every((reason) => reason === 'aside'), reasons.join());
  t.ok(reasons.length <= 8, `${reasons.length} times`);
  t.ok(ratio <= 5, `registry bytes ${ratio.toFixed(3)}x with ${NODES} nodes`);
});

/** All pull a blob of this size from a supernode that is far slower than the registry. */
async function hedged(
  t: Test,
  {
    size,
    nodes = 4,
    originBytesPerSecond,
    uploadRate,
  }: { size: number; nodes?: number; originBytesPerSecond?: number; uploadRate: number },
  meanwhile: (cluster: MemoryCluster) => Promise<void> = async () => {},
): Promise<Outcome> {
  const slow = { uploadRate };
  const cluster = await MemoryCluster.start({
    seed: 11,
    nodes,
    supernodes: 1,
    ...(originBytesPerSecond === undefined ? {} : { originBytesPerSecond }),
    limits: (name) => (name.startsWith('super') ? slow : {}),
  });
  // What the nodes know of the registry's speed, from a time without supernode.
  const earlier = cluster.blob(8 * MIB);
  for (const { deps } of cluster.nodes) {
    const read = { origin: { upstream: 'memory.test', repository: 'team/app' }, digest: earlier };
    const reading = (async (): Promise<number> => {
      let bytes = 0;
      const body = await deps.origin.readBlob(read, { signal: new AbortController().signal });
      for await (const chunk of body.bytes) bytes += chunk.length;
      return bytes;
    })();
    t.equal(await cluster.until(reading), 8 * MIB);
  }
  return await pullAll(t, cluster, size, () => meanwhile(cluster));
}

t.test('a swarm that is far slower than the registry is hedged, by one node a stripe', async (t) => {
  const { ratio, reasons, tookMs } = await hedged(t, { size: 4 * MIB, uploadRate: 128 * KIB });
  t.same([...new Set(reasons)], ['hedge']);
  t.ok(tookMs < 12_000, `after ${tookMs} ms; at the swarm's pace it would have been 32 s and more`);
  t.ok(ratio <= 2.1, `registry bytes ${ratio.toFixed(3)}x`);
});

t.test('without a tracker too one node a stripe hedges, of those that know each other', async (t) => {
  const { cluster, ratio } = await hedged(
    t,
    { size: SIZE, uploadRate: 8 * KIB, nodes: NODES, originBytesPerSecond: 2 * MIB },
    async (cluster) => {
      await cluster.run(1000);
      cluster.tracker.reachable = false;
    },
  );
  t.ok(reasonsOf(cluster).includes('hedge'));
  t.ok(ratio <= 2.1, `registry bytes ${ratio.toFixed(3)}x`);
});

t.test('a node that reaches nobody but the tracker and the registry gets its bytes', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 12, nodes: 4, supernodes: 1 });
  const size = 8 * MIB;
  const digest = cluster.blob(size);
  const [isolated, ...others] = cluster.nodes;
  for (const { name } of [...others, ...cluster.supernodes]) cluster.network.partition(isolated!.name, name);
  await cluster.until(Promise.all(others.map((node) => cluster.pull(node, digest, size))));
  const startedMs = cluster.clock.now();
  t.equal(await cluster.until(cluster.pull(isolated!, digest, size)), digest);
  const tookMs = cluster.clock.now() - startedMs;
  t.ok(tookMs < 12_000, `after ${tookMs} ms`);
  t.equal(cluster.origin.ratio(digest), 2);
});

t.test('a registry that takes three seconds before each answer costs nobody its lease', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 13, nodes: 6, supernodes: 0, originLatencyMs: 3000 });
  const { ratio, tookMs } = await pullAll(t, cluster, 4 * MIB);
  t.ok(ratio <= 2, `registry bytes ${ratio.toFixed(3)}x`);
  t.ok(cluster.origin.requests <= 12, `${cluster.origin.requests} requests`);
  t.ok(tookMs < 15_000, `after ${tookMs} ms`);
});

t.test(
  'a node that does not reach the registry gets all from one that reads, however long that takes',
  async (t) => {
    const cluster = await MemoryCluster.start({
      ...{ seed: 14, nodes: 2, supernodes: 0 },
      originBytesPerSecond: 2 * MIB,
    });
    cluster.cutOff.add(cluster.nodes[0]!.name);
    const { ratio, tookMs } = await pullAll(t, cluster, 50 * MIB);
    t.equal(ratio, 1);
    t.ok(tookMs < 35_000, `after ${tookMs} ms`);
  },
);

t.test('nor does it wait for ever when nobody reads any more', async (t) => {
  const cluster = await MemoryCluster.start({
    ...{ seed: 15, nodes: 2, supernodes: 0 },
    originBytesPerSecond: 2 * MIB,
  });
  const [isolated, other] = cluster.nodes;
  cluster.cutOff.add(isolated!.name);
  const digest = cluster.blob(50 * MIB);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, 50 * MIB));
  for (const pull of pulls) pull.catch(() => {});
  await cluster.run(12_000);
  cluster.crash(other!);
  await t.rejects(cluster.until(pulls[0]!, 30_000), { code: 'UPSTREAM_UNREACHABLE' });
});

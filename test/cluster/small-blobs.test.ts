import t, { type Test } from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import type { SeedEngine } from '../../lib/transfer/seed/seed-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const KIB = 1024;
const SIZE = 10 * KIB;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };

/** How long the pull takes, ms of the cluster. @throws Error for other bytes than asked for */
async function pull(
  cluster: MemoryCluster,
  node: Member<PeerEngine>,
  digest: Digest,
  size = SIZE,
): Promise<number> {
  const startedMs = cluster.clock.now();
  let tookMs = 0;
  const got = await cluster.until(
    cluster.pull(node, digest, size).finally(() => {
      tookMs = cluster.clock.now() - startedMs;
    }),
  );
  if (got !== digest) throw new Error('other bytes');
  return tookMs;
}

/** Pieces that the node took, by where from. */
function taken({ events }: MemoryCluster, { name }: Member<PeerEngine>): (string | undefined)[] {
  return events.flatMap(({ event, who }) =>
    who === name && event.kind === 'piece' ? [event.source === 'origin' ? 'origin' : event.from] : [],
  );
}

/** Notes the questions that the supernode is asked from now on; each call tells those since the last. */
function questionsTo(
  t: Test,
  { engine }: Member<SeedEngine>,
): () => readonly { blobs: readonly unknown[] }[] {
  const answer = engine.smallBlobs.bind(engine);
  const asked = t.capture(engine, 'smallBlobs', (...args: Parameters<typeof answer>) => answer(...args));
  return () => asked().map(({ args }) => args[0]);
}

async function setUp(options: { nodes: number; supernodes?: number; seed?: number }) {
  const cluster = await MemoryCluster.start({ seed: options.seed ?? 1, supernodes: 1, ...options });
  return { cluster, nodes: cluster.nodes, digest: cluster.blob(SIZE), supernode: cluster.supernodes[0]! };
}

t.test(
  'one round trip to the supernode, without a link; then it is in the store, and announced',
  async (t) => {
    const { cluster, nodes, digest, supernode } = await setUp({ nodes: 2 });
    const [first, second] = nodes;
    await pull(cluster, first!, digest);
    await cluster.run(10);
    const tookMs = await pull(cluster, second!, digest);
    t.ok(tookMs < 3, `${tookMs} ms, of which the network takes 1 to 1.6`);
    await cluster.run(10);
    t.equal(await pull(cluster, second!, digest), 0, 'from the store');
    t.same(taken(cluster, second!), [supernode.deps.self().id]);
    t.equal(cluster.origin.ratio(digest), 1);
    t.same(
      cluster.events.filter(({ event }) => event.kind === 'link-up'),
      [],
    );
    // Of the announced holders the tracker names one to whoever asks when no supernode is left.
    cluster.crash(supernode);
    await cluster.run(1000);
    const late = await cluster.addNode('late');
    await cluster.run(10);
    await pull(cluster, late, digest);
    t.ok(
      nodes.some((node) => taken(cluster, late).includes(node.deps.self().id)),
      'a node gave it',
    );
    t.equal(cluster.origin.ratio(digest), 1);
  },
);

t.test('a crowd costs one read of the registry, and nobody joins a swarm for it', async (t) => {
  const { cluster, nodes, digest } = await setUp({ nodes: 30 });
  await Promise.all(nodes.map((node) => pull(cluster, node, digest)));
  t.equal(cluster.origin.ratio(digest), 1);
  t.equal(cluster.origin.requests, 1);
});

t.test('a part of it is a part of it', async (t) => {
  const { cluster, nodes, digest } = await setUp({ nodes: 1 });
  const request = { digest, size: SIZE, origin: ORIGIN, range: { start: 100, end: 300 } };
  const signal = new AbortController().signal;
  const read = async (): Promise<number> => {
    let bytes = 0;
    for await (const chunk of nodes[0]!.engine.open(request, { signal })) bytes += chunk.length;
    return bytes;
  };
  t.equal(await cluster.until(read()), 200);
});

t.test('all small blobs of a manifest come in one question, each from its owner', async (t) => {
  const { cluster, nodes, supernode } = await setUp({ nodes: 2 });
  const [before, node] = nodes;
  const blobs = Array.from({ length: 12 }, (_, index) => {
    const size = SIZE + index;
    return { digest: cluster.blob(size), size, origin: ORIGIN };
  });
  const large = { digest: cluster.blob(300 * KIB), size: 300 * KIB, origin: ORIGIN };
  for (const { digest, size } of blobs) await pull(cluster, before!, digest, size);
  const asked = questionsTo(t, supernode);
  node!.engine.prepare([large, ...blobs]);
  await cluster.run(3);
  t.equal(asked().length, 1);
  t.equal(taken(cluster, node!).length, blobs.length, 'all are here after one round trip');
  for (const { digest, size } of blobs) t.equal(await pull(cluster, node!, digest, size), 0);
  t.equal(cluster.origin.sentBytes.get(large.digest), undefined, 'nothing large before a client asks');
  node!.engine.prepare(blobs);
  await cluster.run(100);
  t.equal(asked().length, 0, 'what is here is not asked for');
});

t.test('more than fits into one question is asked in several', async (t) => {
  const { cluster, nodes, supernode } = await setUp({ nodes: 1 });
  const size = 200 * KIB;
  const blobs = Array.from({ length: 7 }, () => ({ digest: cluster.blob(size), size, origin: ORIGIN }));
  const asked = questionsTo(t, supernode);
  nodes[0]!.engine.prepare(blobs);
  await cluster.run(400);
  t.same(
    asked()
      .map(({ blobs: part }) => part.length)
      .sort(),
    [2, 5],
    'both at once, so that either may be there first',
  );
  t.equal(taken(cluster, nodes[0]!).length, blobs.length);
});

t.test('a supernode that stands still: a holder is asked after 25 ms', async (t) => {
  const { cluster, nodes, digest, supernode } = await setUp({ nodes: 2 });
  const [holder, node] = nodes;
  await pull(cluster, holder!, digest);
  await cluster.run(50);
  cluster.network.stall(supernode.name);
  const tookMs = await pull(cluster, node!, digest);
  t.ok(tookMs >= 25 && tookMs < 35, `${tookMs} ms`);
  t.same(taken(cluster, node!), [holder!.deps.self().id]);
  t.equal(cluster.origin.ratio(digest), 1);
});

t.test(
  'a supernode that stands still, and no holder: the way of all blobs, within five seconds',
  async (t) => {
    const { cluster, nodes, digest, supernode } = await setUp({ nodes: 1 });
    cluster.network.stall(supernode.name);
    const tookMs = await pull(cluster, nodes[0]!, digest);
    t.ok(tookMs < 5000, `${tookMs} ms`);
    t.equal(taken(cluster, nodes[0]!)[0], 'origin');
  },
);

t.test('a supernode that gives other bytes is banned, and a holder gives the right ones', async (t) => {
  const { cluster, nodes, digest, supernode } = await setUp({ nodes: 2 });
  const [holder, node] = nodes;
  await pull(cluster, holder!, digest);
  await cluster.run(50);
  cluster.network.corrupt(supernode.name);
  const asked = questionsTo(t, supernode);
  await pull(cluster, node!, digest);
  t.same(taken(cluster, node!), [holder!.deps.self().id]);
  t.equal(cluster.events.filter(({ event }) => event.kind === 'piece-rejected').length, 1);
  t.equal(asked().length, 1);
  await pull(cluster, node!, cluster.blob(SIZE));
  t.equal(asked().length, 0, 'and never asked again');
});

t.test(
  'what was asked for ahead of its client, and is not to be had, is not announced for ever',
  async (t) => {
    const { cluster, nodes } = await setUp({ nodes: 1 });
    const { deps, engine } = nodes[0]!;
    const { discovery } = deps;
    const announce = discovery.announce.bind(discovery);
    const withdraw = discovery.withdraw.bind(discovery);
    const said: string[] = [];
    t.capture(discovery, 'announce', (all: Parameters<typeof announce>[0]) => {
      for (const { digest, have } of all) said.push(`${have} ${digest}`);
      announce(all);
    });
    t.capture(discovery, 'withdraw', (digests: Parameters<typeof withdraw>[0]) => {
      for (const digest of digests) said.push(`gone ${digest}`);
      withdraw(digests);
    });
    const digest = `sha256:${'0'.repeat(64)}` as Digest;
    engine.prepare([{ digest, size: SIZE, origin: ORIGIN }]);
    await cluster.run(2000);
    t.same(said, [`none ${digest}`, `gone ${digest}`]);
  },
);

t.test('when everybody gives other bytes, the registry is read', async (t) => {
  const { cluster, nodes, digest, supernode } = await setUp({ nodes: 2 });
  const [holder, node] = nodes;
  await pull(cluster, holder!, digest);
  await cluster.run(50);
  cluster.network.corrupt(supernode.name);
  cluster.network.corrupt(holder!.name);
  const tookMs = await pull(cluster, node!, digest);
  t.ok(tookMs < 5000, `${tookMs} ms`);
  t.same(taken(cluster, node!), ['origin']);
  t.equal(cluster.events.filter(({ event }) => event.kind === 'piece-rejected').length, 2);
});

t.test('a supernode that dies while it reads: the node gets it all the same', async (t) => {
  for (const afterMs of [1, 4, 6]) {
    const { cluster, nodes, digest, supernode } = await setUp({ nodes: 2 });
    const pulls = nodes.map((node) => cluster.pull(node, digest, SIZE));
    await cluster.run(afterMs);
    cluster.crash(supernode);
    const got = await cluster.until(Promise.all(pulls), 5000);
    t.same(got, [digest, digest], `after ${afterMs} ms`);
  }
});

t.test('without a tracker the supernodes it named are asked', async (t) => {
  const { cluster, nodes, digest } = await setUp({ nodes: 1 });
  cluster.tracker.reachable = false;
  const tookMs = await pull(cluster, nodes[0]!, digest);
  t.ok(tookMs < 15, `${tookMs} ms, with the registry's 5`);
  t.equal(cluster.origin.ratio(digest), 1);
});

t.test('among several supernodes each blob is asked of its owner, and read once', async (t) => {
  const { cluster, nodes } = await setUp({ nodes: 6, supernodes: 3 });
  const digests = Array.from({ length: 9 }, () => cluster.blob(SIZE));
  await Promise.all(nodes.flatMap((node) => digests.map((digest) => pull(cluster, node, digest))));
  t.ok(digests.every((digest) => cluster.origin.ratio(digest) === 1));
  t.equal(cluster.origin.requests, digests.length);
});

t.test('a blob under a size that is not its own is not given, and nobody is blamed', async (t) => {
  const { cluster, nodes, digest } = await setUp({ nodes: 2 });
  await pull(cluster, nodes[0]!, digest);
  const error = await cluster.until(
    cluster.pull(nodes[1]!, digest, SIZE - 1).catch((caught: unknown) => caught),
  );
  t.match(error, { code: 'UPSTREAM_BROKEN' });
  t.same(
    cluster.events.filter(({ event }) => event.kind === 'piece-rejected'),
    [],
  );
});

t.test('the same seed gives the same run', async (t) => {
  const run = async (): Promise<string> => {
    const { cluster, nodes, digest } = await setUp({ nodes: 8, supernodes: 2, seed: 7 });
    await Promise.all(nodes.map((node) => pull(cluster, node, digest)));
    await cluster.run(100);
    return cluster.traceHash;
  };
  t.equal(await run(), await run());
});

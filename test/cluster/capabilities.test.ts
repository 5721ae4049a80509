import t from 'tap';
import { DamselflyError } from '../../lib/core/errors.ts';
import { fingerprintOf } from '../../lib/security/cluster-authority.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { encodePeerMessage } from '../../lib/wire/peer-codec.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { type ClusterOptions, type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 6 * MIB + 5;
const MINUTE_MS = 60_000;
const NEVER = new AbortController().signal;

const start = (options: Pick<ClusterOptions, 'seed' | 'nodes' | 'supernodes'> & Partial<ClusterOptions>) =>
  MemoryCluster.start({ identities: true, capabilities: true, ...options });

const sourcesOf = (cluster: MemoryCluster): Record<string, number> => {
  const found: Record<string, number> = {};
  for (const { who, event } of cluster.events) {
    if (event.kind !== 'piece' || !who.startsWith('node')) continue;
    found[event.source] = (found[event.source] ?? 0) + 1;
  }
  return found;
};

async function refusedBy(members: readonly { readonly deps: Member<PeerEngine>['deps'] }[]) {
  const found: Record<string, number> = {};
  for (const { deps } of members) {
    for (const { labels, value } of (await deps.metrics.refused.get()).values) {
      const reason = String(labels['reason']);
      found[reason] = (found[reason] ?? 0) + value;
    }
  }
  return found;
}

t.test(
  'with capabilities each byte is read once, and each supernode asks the registry once for all nodes',
  async (t) => {
    const cluster = await start({ seed: 1, nodes: 6, supernodes: 2 });
    const digest = cluster.blob(SIZE);
    const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
    t.same(await cluster.until(Promise.all(pulls)), Array(6).fill(digest));
    t.equal(cluster.origin.ratio(digest), 1);
    const { asked } = cluster.origin;
    t.ok(asked.length >= 1 && asked.length <= 2, `${asked.length} questions`);
    t.same(new Set(asked), new Set([`/v2/team/app/blobs/${digest}`]));
    t.ok((sourcesOf(cluster)['peer'] ?? 0) > 0, 'nodes give to each other');
    t.same(await refusedBy([...cluster.nodes, ...cluster.supernodes]), {});
  },
);

t.test('small blobs too are given to those that may have them', async (t) => {
  const cluster = await start({ seed: 2, nodes: 3, supernodes: 2 });
  const digest = cluster.blob(5000);
  for (const node of cluster.nodes) t.equal(await cluster.until(cluster.pull(node, digest, 5000)), digest);
  t.equal(cluster.origin.ratio(digest), 1);
  t.same(await refusedBy([...cluster.nodes, ...cluster.supernodes]), {});
});

t.test('a member without a capability gets zero bytes from nodes and supernodes', async (t) => {
  const cluster = await start({ seed: 3, nodes: 2, supernodes: 1 });
  const [size, small] = [SIZE, 5000];
  const [digest, smallDigest] = [cluster.blob(size), cluster.blob(small)];
  const holders = [...cluster.nodes, ...cluster.supernodes];
  for (const node of cluster.nodes) {
    t.equal(await cluster.until(cluster.pull(node, digest, size)), digest);
    t.equal(await cluster.until(cluster.pull(node, smallDigest, small)), smallDigest);
  }
  const { certificate, identity } = await testMember(await testAuthority(), 'node');
  const member = {
    id: identity.name,
    role: 'node',
    fingerprint: fingerprintOf(certificate).toString('hex'),
  } as const;
  const network = cluster.network.host('thief', { member });
  for (const holder of holders) {
    const address = { host: holder.name, port: 1000 };
    const link = await cluster.until(network.dial(address, { signal: NEVER }));
    const peer = { id: member.id, role: 'node', host: 'thief', port: 1000, zone: '' } as const;
    const slots = { up: 0, down: 4 };
    link.send(encodePeerMessage({ type: 'hello', protocol: 1, peer, clusterTimeMs: 0, slots }));
    link.send(encodePeerMessage({ type: 'open', handle: 1, digest, size, pieceBytes: 262_144 }));
    await cluster.run(50);
    const into = new Uint8Array(262_144);
    const range = { start: 0, end: into.length };
    for (let attempt = 0; attempt < 3; attempt++) {
      const fetching = network.fetch({ address, from: member.id, digest, range }, into, { signal: NEVER });
      await t.rejects(cluster.until(fetching), { code: 'BLOB_UNKNOWN' }, `${holder.name}, ${attempt}`);
      await cluster.run(50);
    }
    t.ok(into.every((byte) => byte === 0));
    const origin = { upstream: 'memory.test', repository: 'team/app' };
    const asked = { address, from: member.id, blobs: [{ digest: smallDigest, size: small }], origin };
    t.same(await cluster.until(network.fetchSmall(asked, { signal: NEVER })), [undefined], holder.name);
  }
  t.ok(((await refusedBy(holders))['no-capability'] ?? 0) >= 2 * holders.length);
  t.same(cluster.origin.openAsked, [], 'whoever may read it can get a capability');
});

t.test(
  'when the registry says no to a supernode, the node reads for itself and nothing is lost',
  async (t) => {
    const cluster = await start({ seed: 4, nodes: 2, supernodes: 1 });
    const digest = cluster.blob(SIZE);
    cluster.origin.forbidden = true;
    const before = cluster.clock.now();
    const [node] = cluster.nodes;
    t.equal(await cluster.until(cluster.pull(node!, digest, SIZE)), digest);
    t.same(sourcesOf(cluster), { origin: 24 + 1 });
    t.ok(cluster.clock.now() - before < 1000, `after ${cluster.clock.now() - before} ms`);
    cluster.origin.forbidden = false;
    const [, other] = cluster.nodes;
    t.equal(await cluster.until(cluster.pull(other!, digest, SIZE)), digest);
    t.ok((sourcesOf(cluster)['peer'] ?? 0) > 0, 'whoever may have it gets it from the node that read it');
  },
);

t.test('a supernode that does not answer costs less than 2.5 s, and no pull', async (t) => {
  const cluster = await start({ seed: 5, nodes: 1, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  for (const { name } of cluster.supernodes) cluster.network.freeze(name);
  const [node] = cluster.nodes;
  const origin = { upstream: 'memory.test', repository: 'team/app' };
  const before = cluster.clock.now();
  const first = node!.engine.open({ digest, size: SIZE, origin }, { signal: NEVER })[Symbol.asyncIterator]();
  t.notOk((await cluster.until(first.next())).done);
  t.ok(cluster.clock.now() - before < 2500, `first byte after ${cluster.clock.now() - before} ms`);
  await first.return?.();
  t.equal(await cluster.until(cluster.pull(node!, digest, SIZE)), digest);
});

t.test('a crowd before a supernode that does not answer reads a few pieces, not all of them', async (t) => {
  const cluster = await start({ seed: 12, nodes: 16, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  for (const { name } of cluster.supernodes) cluster.network.freeze(name);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  await cluster.run(4500);
  const read = Object.values(sourcesOf(cluster)).reduce((sum, pieces) => sum + pieces, 0);
  t.ok(read >= 4 && read <= 8, `${read} pieces read, by four nodes in two seconds`);
  for (const { name } of cluster.supernodes) cluster.network.thaw(name);
  t.same(await cluster.until(Promise.all(pulls)), Array(16).fill(digest));
});

t.test(
  'a crowd waits for supernodes that are slow to say who may read: the registry is read once',
  async (t) => {
    for (const answerMs of [1500, 4000]) {
      const cluster = await start({ seed: 11, nodes: 16, supernodes: 2, deskDelayMs: answerMs });
      cluster.origin.open = false;
      const digest = cluster.blob(SIZE);
      const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
      t.same(await cluster.until(Promise.all(pulls)), Array(16).fill(digest));
      const ratio = cluster.origin.ratio(digest);
      t.ok(ratio < 1.5, `the registry was read ${ratio} times, answers after ${answerMs} ms`);
      t.equal(cluster.origin.openAsked.length, 0);
    }
  },
);

t.test(
  'while no tracker answers a supernode that is busy lives: a crowd waits for it, and the registry is read once',
  async (t) => {
    const cluster = await start({ seed: 13, nodes: 8, supernodes: 1, deskDelayMs: 4000 });
    cluster.origin.open = false;
    const [first, digest] = [cluster.blob(SIZE), cluster.blob(SIZE)];
    await cluster.until(Promise.all(cluster.nodes.map((node) => cluster.pull(node, first, SIZE))));
    cluster.tracker.reachable = false;
    await cluster.run(100);
    const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
    t.same(await cluster.until(Promise.all(pulls)), Array(8).fill(digest));
    const ratio = cluster.origin.ratio(digest);
    t.ok(ratio < 1.5, `the registry was read ${ratio} times`);
  },
);

t.test(
  'a crowd whose right is long in coming hedges nothing: nobody takes it from who may not have it',
  async (t) => {
    const cluster = await start({ seed: 21, nodes: 8, supernodes: 1, deskDelayMs: 14_000 });
    cluster.origin.open = false;
    const size = 5 * SIZE;
    const [first, digest] = [cluster.blob(SIZE), cluster.blob(size)];
    await cluster.until(Promise.all(cluster.nodes.map((node) => cluster.pull(node, first, SIZE))));
    cluster.tracker.reachable = false;
    await cluster.run(100);
    const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
    t.same(await cluster.until(Promise.all(pulls), 30_000), Array(8).fill(digest));
    for (const { deps } of cluster.nodes) {
      const { values } = await deps.metrics.fallback.get();
      t.notOk(values.some(({ labels }) => labels['reason'] === 'hedge'));
    }
    const ratio = cluster.origin.ratio(digest);
    // Ids are random, and with them whose turn it is to read: 1.25 times as a rule, now and then over twice.
    t.ok(ratio < 2.5, `the registry was read ${ratio} times`);
  },
);

t.test('once a supernode is back, those who read for themselves get the rest from the swarm', async (t) => {
  const rate = MIB;
  const cluster = await start({ seed: 14, nodes: 3, supernodes: 0, originBytesPerSecond: rate });
  cluster.origin.open = false;
  const size = 20 * MIB;
  const digest = cluster.blob(size);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
  await cluster.run(2000);
  t.notOk(sourcesOf(cluster)['peer']);
  await cluster.addSupernode('back');
  t.same(await cluster.until(Promise.all(pulls)), [digest, digest, digest]);
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio < 2.2, `the registry was read ${ratio} times, by three nodes and a supernode`);
  t.ok((sourcesOf(cluster)['peer'] ?? 0) > 0, 'nodes give to each other');
});

t.test(
  'once a supernode is back, it and newcomers give also what was open while none was there',
  async (t) => {
    const cluster = await start({ seed: 16, nodes: 3, supernodes: 0, originBytesPerSecond: MIB });
    const size = 20 * MIB;
    const digest = cluster.blob(size);
    const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
    await cluster.run(2000);
    await cluster.addSupernode('back');
    await cluster.run(3000);
    const newcomer = await cluster.addNode('node3');
    pulls.push(cluster.pull(newcomer, digest, size));
    t.same(await cluster.until(Promise.all(pulls)), Array(4).fill(digest));
    t.ok((sourcesOf(cluster)['supernode'] ?? 0) > 0, 'the supernode gives to them');
    t.same(await refusedBy([...cluster.nodes, newcomer]), {}, 'nobody asks a node for what it does not give');
    const ratio = cluster.origin.ratio(digest);
    t.ok(ratio < 2.2, `the registry was read ${ratio} times, by the nodes together and by the supernode`);
  },
);

t.test('a supernode that is back and at first too busy to answer is asked again', async (t) => {
  const rate = MIB;
  const busy = { deskDelayMs: 60_000 };
  const options = { seed: 22, nodes: 3, supernodes: 0, originBytesPerSecond: rate };
  const cluster = await MemoryCluster.start({
    ...{ ...options, identities: true, capabilities: true },
    get deskDelayMs() {
      return busy.deskDelayMs;
    },
  });
  cluster.origin.open = false;
  const size = 60 * MIB;
  const digest = cluster.blob(size);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
  await cluster.run(2000);
  await cluster.addSupernode('back');
  await cluster.run(30_000);
  t.notOk(sourcesOf(cluster)['peer'], 'nobody has said that they may have it');
  busy.deskDelayMs = 0;
  t.same(await cluster.until(Promise.all(pulls)), [digest, digest, digest]);
  t.ok((sourcesOf(cluster)['peer'] ?? 0) > 0, 'the rest comes from the swarm');
});

t.test('without a supernode nodes see for themselves that anybody may read, and read it once', async (t) => {
  const cluster = await start({ seed: 7, nodes: 6, supernodes: 0 });
  const [digest, small] = [cluster.blob(SIZE), cluster.blob(5000)];
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), Array(6).fill(digest));
  t.equal(cluster.origin.ratio(digest), 1);
  t.ok((sourcesOf(cluster)['peer'] ?? 0) > 0, 'nodes give to each other');
  t.same(await refusedBy(cluster.nodes), {});
  t.equal(cluster.origin.openAsked.length, 6, 'each asks once');
  for (const node of cluster.nodes) t.equal(await cluster.until(cluster.pull(node, small, 5000)), small);
});

t.test('without a supernode what is not for anybody is read by each for itself', async (t) => {
  const cluster = await start({ seed: 8, nodes: 3, supernodes: 0 });
  cluster.origin.open = false;
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), [digest, digest, digest]);
  t.equal(cluster.origin.ratio(digest), 3);
  t.notOk(sourcesOf(cluster)['peer'], 'nobody gives what only the registry may');
});

t.test('who reads for itself asks for much at a time, also where the registry is far away', async (t) => {
  const cluster = await start({ seed: 15, nodes: 2, supernodes: 0, originLatencyMs: 200 });
  cluster.origin.open = false;
  const size = 32 * MIB;
  const digest = cluster.blob(size);
  for (const node of cluster.nodes) {
    const startedMs = cluster.clock.now();
    t.equal(await cluster.until(cluster.pull(node, digest, size)), digest);
    const tookMs = cluster.clock.now() - startedMs;
    t.ok(tookMs < 6000, `after ${tookMs} ms`);
  }
  const { requests } = cluster.origin;
  t.ok(requests <= 2 * 4, `${requests} requests`);
});

t.test('who held a blob before the supernode died gives it to those who came later', async (t) => {
  for (const open of [true, false]) {
    const cluster = await start({ seed: 9, nodes: 3, supernodes: 1 });
    cluster.origin.open = open;
    const digest = cluster.blob(SIZE);
    const [late, ...early] = cluster.nodes;
    for (const node of early) t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
    for (const supernode of cluster.supernodes) cluster.crash(supernode);
    await cluster.run(5000);
    t.equal(await cluster.until(cluster.pull(late!, digest, SIZE)), digest);
    const again = cluster.origin.ratio(digest) - 1;
    if (open) t.ok(again < 0.2, `${again} of it read again, while they ask the registry`);
    else t.equal(again, 1, 'they do not give to anybody what is not for anybody');
  }
});

t.test(
  'while the registry is away its last word opens what the swarm has, up to the end of the session',
  async (t) => {
    const cluster = await start({ seed: 10, nodes: 2, supernodes: 1 });
    const digest = cluster.blob(SIZE);
    const [reader, other] = cluster.nodes;
    for (const node of [reader!, other!]) await cluster.until(cluster.pull(node, digest, SIZE));
    const forgets = async (): Promise<void> => {
      await cluster.run(2 * MINUTE_MS);
      t.equal(await cluster.until(reader!.engine.cache.remove(digest)), 'removed');
    };
    await forgets();
    cluster.origin.failure = new DamselflyError('UPSTREAM_UNREACHABLE', 'the registry is away');
    await cluster.run(10 * MINUTE_MS);
    t.equal(await cluster.until(cluster.pull(reader!, digest, SIZE)), digest, 'its capability had run out');
    await forgets();
    await cluster.run(20 * MINUTE_MS);
    await t.rejects(cluster.until(cluster.pull(reader!, digest, SIZE)), { code: 'UPSTREAM_UNREACHABLE' });
    t.equal(cluster.origin.ratio(digest), 1);
  },
);

t.test(
  'a long pull goes on from peers: its capability is renewed, up to the end of the session',
  async (t) => {
    const rate = 8 * 1024;
    const minutes = (count: number): number => count * 60_000;
    for (const [sessionMaxMs, least, most] of [
      [minutes(30), 1, 1],
      [minutes(4), 3, 6],
    ] as const) {
      const cluster = await start({
        ...{ seed: 6, nodes: 2, supernodes: 1 },
        ...{ originBytesPerSecond: rate, deskHabits: { sessionMaxMs } },
      });
      const size = Math.floor((rate * minutes(11)) / 1000);
      const digest = cluster.blob(size);
      const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
      t.same(await cluster.until(Promise.all(pulls), minutes(20)), [digest, digest]);
      t.equal(cluster.origin.ratio(digest), 1);
      const { length } = cluster.origin.asked;
      t.ok(
        length >= least && length <= most,
        `${length} questions in sessions of ${sessionMaxMs / 60_000} min`,
      );
    }
  },
);

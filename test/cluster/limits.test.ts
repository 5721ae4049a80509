import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { type ClusterOptions, type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 8 * MIB;
type AnyMember = Pick<Member<unknown>, 'name' | 'deps'>;
type Counter = 'receivedBytes' | 'sentBytes';

async function total({ deps }: AnyMember, counter: Counter, label: Record<string, string>): Promise<number> {
  const { values } = await deps.metrics[counter].get();
  const [key = ''] = Object.keys(label);
  const matching = values.filter(({ labels }) => (labels as Record<string, unknown>)[key] === label[key]);
  return matching.reduce((sum, { value }) => sum + value, 0);
}

/** Everybody pulls one blob. @returns how long it took, and whether all got the right bytes */
async function pullAll(options: ClusterOptions, size = SIZE) {
  const cluster = await MemoryCluster.start(options);
  const digest = cluster.blob(size);
  const startedMs = cluster.clock.now();
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
  const got = await cluster.until(Promise.all(pulls), 300_000);
  return {
    cluster,
    digest,
    seconds: (cluster.clock.now() - startedMs) / 1000,
    right: got.every((each) => each === digest),
  };
}

const fallbacks = ({ events }: MemoryCluster): string[] =>
  events.flatMap(({ event }) => (event.kind === 'fallback' ? [event.reason] : []));

t.test('a supernode with little upload sends no more than that, and every pull ends', async (t) => {
  const rate = 4 * MIB;
  for (let seed = 1; seed <= 3; seed++) {
    const { cluster, right, seconds } = await pullAll({
      ...{ seed, nodes: 5, supernodes: 1 },
      limits: (name) => (name.startsWith('super') ? { uploadRate: rate } : {}),
    });
    t.ok(right, `seed ${seed}: every client got the right bytes`);
    t.same(fallbacks(cluster), [], 'and nobody read the registry past it');
    const sent = await total(cluster.supernodes[0]!, 'sentBytes', { to: 'peer' });
    t.ok(sent > 0.9 * SIZE && sent <= rate * (seconds + 0.05), `${sent} bytes in ${seconds} s`);
    // Its slot holds one piece at a time: what it has given goes round before it gives the next.
    t.ok(seconds < (2 * SIZE) / rate, `about once the blob in ${seconds} s`);
  }
});

t.test('however slow a supernode is, it gives each piece about once', async (t) => {
  const rate = MIB / 8;
  const { cluster, right, seconds } = await pullAll(
    {
      seed: 3,
      nodes: 4,
      supernodes: 1,
      limits: (name) => (name.startsWith('super') ? { uploadRate: rate } : {}),
    },
    4 * MIB,
  );
  t.ok(right);
  const sent = await total(cluster.supernodes[0]!, 'sentBytes', { to: 'peer' });
  t.ok(sent <= 1.15 * 4 * MIB, `${sent} bytes in ${seconds} s`);
});

t.test('a node receives no faster than it may, and gets the blob', async (t) => {
  const rate = MIB;
  const { cluster, digest, right } = await pullAll({
    ...{ seed: 4, nodes: 4, supernodes: 1 },
    limits: (name) => (name === 'node0' ? { downloadRate: rate } : {}),
  });
  t.ok(right);
  t.same(fallbacks(cluster), []);
  t.equal(cluster.origin.ratio(digest), 1, 'read once');
  const { clock } = cluster;
  t.ok(clock.now() >= ((SIZE - 0.05 * rate) / rate) * 1000, `not before ${SIZE / rate} s: ${clock.now()} ms`);
  t.ok(clock.now() < ((1.2 * SIZE) / rate) * 1000, 'and not much later');
});

t.test('with low limits everywhere every pull ends, at that rate', async (t) => {
  const rate = 2 * MIB;
  for (const background of [false, true]) {
    const { cluster, right, seconds } = await pullAll({
      ...{ seed: 5, nodes: 6, supernodes: 1 },
      limits: () => ({ uploadRate: rate, downloadRate: rate, registryRate: rate, background }),
    });
    t.ok(right, `background ${background}: every client got the right bytes`);
    t.ok(seconds >= SIZE / rate - 0.1, `${seconds} s`);
    t.ok(seconds < (4 * SIZE) / rate, `${seconds} s`);
    for (const member of [...cluster.nodes, ...cluster.supernodes]) {
      const sent = await total(member, 'sentBytes', { to: 'peer' });
      t.ok(sent <= rate * (cluster.clock.now() / 1000 + 0.05), `${member.name} sent ${sent}`);
    }
  }
});

t.test('a registry is read no faster than it may be, by supernode and by lone node', async (t) => {
  const rate = 2 * MIB;
  for (const supernodes of [1, 0]) {
    const { cluster, digest, right, seconds } = await pullAll({
      ...{ seed: 6, nodes: 1, supernodes },
      limits: () => ({ registryRate: rate }),
    });
    t.ok(right);
    t.ok(seconds >= SIZE / rate - 0.1 && seconds < (1.4 * SIZE) / rate, `${seconds} s`);
    t.ok(cluster.origin.ratio(digest) <= 1.01, `read ${cluster.origin.ratio(digest)} times`);
  }
});

t.test('a limit that is lifted in the middle is lifted at once', async (t) => {
  const cluster = await MemoryCluster.start({
    ...{ seed: 7, nodes: 1, supernodes: 1 },
    limits: () => ({ uploadRate: MIB / 4, downloadRate: MIB / 4, registryRate: MIB / 4 }),
  });
  const digest = cluster.blob(SIZE);
  const pull = cluster.pull(cluster.nodes[0]!, digest, SIZE);
  await cluster.run(4000);
  const none = Number.POSITIVE_INFINITY;
  const liftedMs = cluster.clock.now();
  for (const { deps } of [...cluster.nodes, ...cluster.supernodes]) {
    deps.limits.change({ uploadRate: none, downloadRate: none, registryRate: none });
  }
  t.equal(await cluster.until(pull), digest);
  t.ok(cluster.clock.now() - liftedMs < 2000, `${cluster.clock.now() - liftedMs} ms later`);
});

t.test('a peer whose connections are all taken is left for others, and asked again', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 3, supernodes: 0 });
  const [full, free, asker] = cluster.nodes as [AnyNode, AnyNode, AnyNode];
  const digest = cluster.blob(SIZE);
  const warm = (node: AnyNode): Promise<Digest> => cluster.until(cluster.pull(node, digest, SIZE));
  await warm(full);
  await warm(free);
  // What the peer port answers when it has as many connections as it may: 503, no free slot.
  const piece = full.engine.piece.bind(full.engine);
  let refused = 0;
  full.engine.piece = () => (refused++, { kind: 'busy', freeSlots: 0 });
  const before = cluster.origin.ratio(digest);
  t.equal(await warm(asker), digest);
  full.engine.piece = piece;
  t.ok(refused > 0, 'it was asked');
  t.equal(cluster.origin.ratio(digest), before, 'the registry was not needed');
  const sent = await total(free, 'sentBytes', { to: 'peer' });
  t.ok(sent >= SIZE, 'the other one gave all of it');
});

type AnyNode = MemoryCluster['nodes'][number];

t.test('a pull knows how close it came to what the node has seen before', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 9, nodes: 1, supernodes: 1 });
  const [node, supernode] = [cluster.nodes[0]!, cluster.supernodes[0]!];
  const pulled = async (size: number): Promise<number> => {
    const digest = cluster.blob(size);
    const before = await efficiencies(node);
    const pull = cluster.pull(node, digest, size);
    await cluster.run(300);
    const [running] = node.engine.status().blobs.filter((blob) => blob.digest === digest);
    t.ok(Number(running?.efficiency) > 0 && Number(running?.efficiency) <= 1, 'told while it runs');
    await cluster.until(pull);
    t.equal(node.engine.status().blobs.at(-1)?.efficiency, null, 'and no more after it');
    const after = await efficiencies(node);
    t.equal(after.count, before.count + 1);
    return after.sum - before.sum;
  };
  const fast = await pulled(48 * MIB);
  t.ok(fast > 0.8 && fast <= 1, `as fast as the registry: ${fast}`);
  supernode.deps.limits.change({ uploadRate: 5 * MIB });
  const slow = await pulled(SIZE);
  t.ok(slow > 0.05 && slow < 0.2, `a tenth of that: ${slow}`);
});

async function efficiencies({ deps }: AnyMember): Promise<{ count: number; sum: number }> {
  const { values } = await deps.metrics.pullEfficiency.get();
  const of = (suffix: string): number =>
    values.find(({ metricName }) => metricName?.endsWith(suffix))?.value ?? 0;
  return { count: of('_count'), sum: of('_sum') };
}

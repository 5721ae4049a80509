import t from 'tap';
import { type BlobExplanation, explainBlob } from '../../lib/observe/explain.ts';
import type { TraceLine } from '../../lib/observe/trace.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 4 * 16 * MIB + 3 * MIB + 11;

/** What the last pull of the blob looked like from this process. */
function explained(cluster: MemoryCluster, who: string, digest: string): BlobExplanation {
  const lines = cluster.events.flatMap(({ atMs, event, who: by }): TraceLine[] =>
    by === who ? [{ ...event, atMs }] : [],
  );
  return explainBlob(lines, digest, cluster.clock.now());
}

function sumOf(record: Readonly<Record<string, number>>): number {
  return Object.values(record).reduce((sum, value) => sum + value, 0);
}

for (const slow of ['super0', 'super1']) {
  t.test(`of three supernodes, ${slow} sends slowly: the explanation names it`, async (t) => {
    const cluster = await MemoryCluster.start({
      ...{ seed: 5, nodes: 3, supernodes: 3 },
      limits: (name) => (name === slow ? { uploadRate: 2 * MIB } : {}),
    });
    const digest = cluster.blob(SIZE);
    await cluster.until(Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE))));
    const guilty = cluster.supernodes.find(({ name }) => name === slow)?.deps.self().id;
    for (const { name } of cluster.nodes) {
      const { bytes, outcome, senders, size, slowest, tookMs, waitedMs } = explained(cluster, name, digest);
      t.equal(outcome, 'complete');
      t.equal(size, SIZE);
      t.equal(slowest?.id, guilty, `${name} waited for it longest`);
      t.equal(slowest?.role, 'supernode');
      t.ok(senders.length >= 3, 'and others sent, too');
      t.equal(bytes.supernode + bytes.peer + bytes.registry, SIZE, 'every byte came from somewhere');
      t.equal(bytes.cache, 0);
      t.ok(Math.abs(sumOf(waitedMs) - tookMs) < 1e-6, `the parts add up: ${sumOf(waitedMs)} of ${tookMs} ms`);
    }
  });
}

t.test('nobody is slow: nobody is named alone, and the registry is what set the pace', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 6, nodes: 1, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  const [node] = cluster.nodes;
  await cluster.until(cluster.pull(node!, digest, SIZE));
  const first = explained(cluster, 'node0', digest);
  t.equal(first.outcome, 'complete');
  t.equal(first.bytes.supernode, SIZE);
  t.ok(first.waitedMs['first-piece'] > 0, 'the first piece had to be read from the registry');
  const { source, transfer } = first.waitedMs;
  t.ok(source + transfer > first.tookMs / 2, 'then it waited for pieces and their bytes');
  t.ok((first.limit?.ms ?? 0) > 0 && (first.limit?.ms ?? 0) <= first.tookMs);

  await cluster.until(cluster.pull(node!, digest, SIZE));
  const second = explained(cluster, 'node0', digest);
  t.equal(second.bytes.cache, SIZE, 'the second pull is served from here');
  t.equal(second.senders.length, 0);
  t.equal(second.slowest, undefined);
});

t.test('without a supernode the explanation says that the node read the registry, and why', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 7, nodes: 1, supernodes: 0 });
  const digest = cluster.blob(SIZE);
  await cluster.until(cluster.pull(cluster.nodes[0]!, digest, SIZE));
  const { bytes, fallbacks, senders, waitedMs } = explained(cluster, 'node0', digest);
  t.equal(bytes.registry, SIZE);
  t.same(fallbacks, ['no-peers']);
  t.equal(senders[0]?.id, 'registry');
  t.ok(waitedMs['first-piece'] >= 500, 'it waited half a second for somebody to show up');
});

t.test('a blob that was cut off, and one that nobody read', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 1, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  const gone = new AbortController();
  const origin = { upstream: 'memory.test', repository: 'team/app' };
  const read = cluster.nodes[0]!.engine.open({ digest, size: SIZE, origin }, { signal: gone.signal });
  await cluster.until(read[Symbol.asyncIterator]().next());
  t.match(explained(cluster, 'node0', digest), { outcome: 'running', size: SIZE });
  gone.abort();
  const iterator = read[Symbol.asyncIterator]();
  await cluster.until(iterator.return!());
  t.match(explained(cluster, 'node0', digest), { outcome: 'cut' });
  t.match(explained(cluster, 'node0', cluster.blob(5 * MIB)), { outcome: 'not-read', senders: [] });
});

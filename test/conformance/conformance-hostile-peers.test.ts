import t, { type Test } from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { type ClusterOptions, MemoryCluster } from '../cluster/memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 12 * MIB;

interface Pulled {
  readonly cluster: MemoryCluster;
  readonly digest: Digest;
  readonly tookMs: number;
}

/** The first node holds a blob and is made to misbehave; then all others pull it, and get the right bytes. */
async function pullBeside(
  t: Test,
  options: Omit<ClusterOptions, 'seed'>,
  misbehave: (cluster: MemoryCluster, holder: string) => void,
): Promise<Pulled> {
  const cluster = await MemoryCluster.start({ seed: 57, ...options });
  const digest = cluster.blob(SIZE);
  const [holder, ...others] = cluster.nodes;
  if (holder === undefined) throw new Error('no node');
  await cluster.until(cluster.pull(holder, digest, SIZE));
  misbehave(cluster, holder.name);
  const startedMs = cluster.clock.now();
  const got = await cluster.until(Promise.all(others.map((node) => cluster.pull(node, digest, SIZE))));
  t.ok(
    got.every((each) => each === digest),
    'every client got the right bytes',
  );
  return { cluster, digest, tookMs: cluster.clock.now() - startedMs };
}

async function valueOf(cluster: MemoryCluster, metric: 'peersBanned' | 'piecesRejected'): Promise<number> {
  let sum = 0;
  for (const { deps } of cluster.nodes) {
    for (const { value } of (await deps.metrics[metric].get()).values) sum += value;
  }
  return sum;
}

t.test('case 57: a poisoned peer is refused piece by piece and banned; the others help', async (t) => {
  const { cluster, tookMs } = await pullBeside(t, { nodes: 6, supernodes: 1 }, (made, holder) =>
    made.network.corrupt(holder),
  );
  t.ok((await valueOf(cluster, 'piecesRejected')) > 0, 'its pieces were seen');
  t.ok((await valueOf(cluster, 'peersBanned')) > 0, 'it was banned');
  t.ok(tookMs < 10_000, `${tookMs} ms`);
});

t.test('case 58: all peers are poisoned: the registry serves', async (t) => {
  const { cluster, digest, tookMs } = await pullBeside(t, { nodes: 5, supernodes: 0 }, (made) => {
    for (const { name } of made.nodes.slice(0, 4)) made.network.corrupt(name);
  });
  t.ok(cluster.origin.ratio(digest) > 1, 'it was read again');
  t.ok(tookMs < 20_000, `${tookMs} ms`);
});

t.test('case 63: a peer that stalls is left for others within 5 s', async (t) => {
  const { tookMs } = await pullBeside(t, { nodes: 6, supernodes: 1 }, (made, holder) =>
    made.network.stall(holder),
  );
  t.ok(tookMs < 5_000, `${tookMs} ms`);
});

t.test('case 64: rate limits hold within 10 %', async (t) => {
  const rate = 2 * MIB;
  const cluster = await MemoryCluster.start({
    ...{ seed: 64, nodes: 1, supernodes: 1 },
    limits: (name) => (name === 'node0' ? { downloadRate: rate } : {}),
  });
  const digest = cluster.blob(SIZE);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const startedMs = cluster.clock.now();
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
  const bytesPerSecond = SIZE / ((cluster.clock.now() - startedMs) / 1000);
  t.ok(bytesPerSecond <= rate * 1.1, `${(bytesPerSecond / MIB).toFixed(2)} MiB/s`);
  t.ok(bytesPerSecond >= rate * 0.8, 'and it is used');
});

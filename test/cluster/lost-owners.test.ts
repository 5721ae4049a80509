import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import type { SeedEngine } from '../../lib/transfer/seed/seed-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** Four stripes, so that each of three supernodes has one. */
const SIZE = 3 * 16 * MIB + 5 * MIB + 17;
const NODES = 3;

interface Scene {
  readonly cluster: MemoryCluster;
  readonly digest: Digest;
  readonly pullAll: () => Promise<unknown[]>;
}

async function setUp(seed: number): Promise<Scene> {
  const cluster = await MemoryCluster.start({ seed, nodes: NODES, supernodes: 3 });
  const digest = cluster.blob(SIZE);
  return {
    cluster,
    digest,
    pullAll: () => Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE))),
  };
}

/** Pieces that processes whose names begin so read from the registry. */
function readBy({ cluster }: Scene, name: string): number {
  return cluster.events.filter(
    ({ who, event }) => who.startsWith(name) && event.kind === 'piece' && event.source === 'origin',
  ).length;
}

t.test('an owner that has no room for the blob leaves its stripes to the others', async (t) => {
  const scene = await setUp(1);
  const { cluster, digest, pullAll } = scene;
  const [full, ...others] = cluster.supernodes;
  full?.disk.fail(['open', 'truncate'], 'ENOSPC');
  t.same(await cluster.until(pullAll()), Array(NODES).fill(digest));
  t.equal(readBy(scene, full?.name ?? ''), 0);
  t.equal(readBy(scene, 'node'), 0, 'no node lost patience');
  for (const { name } of others) t.ok(readBy(scene, name) > 0, name);
  t.equal(cluster.origin.ratio(digest), 1);
});

t.test('an owner that is gone together with the tracker leaves its stripes to the others', async (t) => {
  const scene = await setUp(2);
  const { cluster, digest, pullAll } = scene;
  const pulls = pullAll();
  while (cluster.origin.ratio(digest) < 0.2) await cluster.run(5);
  cluster.tracker.reachable = false;
  const reads = ({ name }: Member<SeedEngine>): boolean => readBy(scene, name) > 0;
  const gone = cluster.supernodes.find(reads);
  if (gone === undefined) throw new Error('nobody reads');
  cluster.crash(gone);
  t.same(await cluster.until(pulls), Array(NODES).fill(digest));
  t.ok(cluster.origin.ratio(digest) <= 1.1, `registry bytes ${cluster.origin.ratio(digest).toFixed(3)}x`);
  const nodes = readBy(scene, 'node');
  const supernodes = readBy(scene, 'super');
  t.ok(nodes < supernodes / 10, `${nodes} pieces read by nodes, ${supernodes} by supernodes`);
});

t.test(
  'owners that lose sight of each other keep their stripes for as long as they are linked',
  async (t) => {
    const cluster = await MemoryCluster.start({
      ...{ seed: 3, nodes: NODES, supernodes: 2, originBytesPerSecond: 4 * MIB },
    });
    const digest = cluster.blob(SIZE);
    const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE)));
    while (cluster.origin.ratio(digest) < 0.1) await cluster.run(5);
    // As in the DHT, where members that are busy take each other for gone: each is told of itself alone.
    const announce: TrackerCore['announce'] = Reflect.get(TrackerCore.prototype, 'announce');
    t.intercept(TrackerCore.prototype, 'announce', {
      value(this: TrackerCore, ...told: Parameters<typeof announce>) {
        const peers = announce.apply(this, told);
        const isOwner = cluster.supernodes.some(({ deps }) => deps.self().id === told[0]);
        return isOwner ? peers.filter(({ id }) => id === told[0]) : peers;
      },
    });
    for (const { deps } of cluster.supernodes) {
      (deps.discovery as unknown as { supernodesChanged(news: readonly PeerInfo[]): void }).supernodesChanged(
        [],
      );
    }
    t.same(await cluster.until(pulls), Array(NODES).fill(digest));
    const ratio = cluster.origin.ratio(digest);
    t.ok(ratio <= 1.05, `registry bytes ${ratio.toFixed(3)}x`);
  },
);

import { join } from 'node:path';
import t from 'tap';
import { type Digest, digestHex, digestOf } from '../../lib/core/digest.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { BORROWED, type ClusterOptions, type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 40 * MIB;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };
const MINUTE_MS = 60_000;

t.test('dropped: a blob goes once its client has it, and the next one gets it all the same', async (t) => {
  const { cluster, digest, node } = await started({ seed: 1, habits: { cacheAfterPullMs: 0 } });
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
  t.equal(held(node, digest), SIZE, 'parts of a blob are read one after another: not gone at once');
  await cluster.run(5000);
  t.equal(held(node, digest), 0);
  t.equal(node.disk.openFiles, 0);
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
});

t.test('a client that reads on keeps it; a pull that was cut short is kept for a while', async (t) => {
  const { cluster, digest, node } = await started({ seed: 2, habits: { cacheAfterPullMs: 0 } });
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
  const signal = new AbortController().signal;
  const reader = node.engine.open({ digest, size: SIZE, origin: ORIGIN }, { signal })[Symbol.asyncIterator]();
  t.ok((await cluster.until(reader.next())).value);
  await cluster.run(MINUTE_MS);
  t.equal(held(node, digest), SIZE, 'a slow client is a client');
  await cluster.until(Promise.resolve(reader.return?.()));
  await cluster.run(5000);
  t.equal(held(node, digest), 0);

  const short = node.engine.open({ digest, size: SIZE, origin: ORIGIN }, { signal })[Symbol.asyncIterator]();
  t.ok((await cluster.until(short.next())).value);
  await cluster.until(Promise.resolve(short.return?.()));
  await cluster.run(1000);
  t.ok(held(node, digest) > 0);
  await cluster.run(6 * MINUTE_MS);
  t.equal(held(node, digest), 0);
});

t.test('a neighbour that is fetching it keeps it', async (t) => {
  const { cluster, digest, node, other } = await started({
    ...{ seed: 3, supernodes: 0, nodeBytesPerSecond: 2 * MIB, habits: { cacheAfterPullMs: 0 } },
    originBytesPerSecond: 100 * MIB,
  });
  t.equal(await cluster.until(cluster.pull(node, digest, SIZE)), digest);
  const before = cluster.origin.ratio(digest);
  const pull = cluster.pull(other, digest, SIZE);
  await cluster.run(8000);
  t.equal(held(node, digest), SIZE, 'in the middle of an upload');
  t.equal(await cluster.until(pull), digest);
  t.equal(cluster.origin.ratio(digest), before, 'all of it came from the neighbour');
  await cluster.run(10_000);
  t.equal(held(node, digest), 0);
  t.equal(held(other, digest), 0);
});

t.test('a duration counts from the end of the last read, and a pin stands above it', async (t) => {
  const { cluster, digest, node } = await started({
    ...{ seed: 4, habits: { cacheAfterPullMs: 3 * MINUTE_MS } },
  });
  const pinned = cluster.blob(MIB);
  await cluster.until(cluster.pull(node, digest, SIZE));
  await cluster.until(cluster.pull(node, pinned, MIB));
  t.equal(await node.deps.store.pin(pinned), true);
  await cluster.run(2 * MINUTE_MS);
  await cluster.until(cluster.pull(node, digest, SIZE));
  await cluster.run(2 * MINUTE_MS);
  t.equal(held(node, digest), SIZE);
  await cluster.run(1.5 * MINUTE_MS);
  t.equal(held(node, digest), 0);
  t.equal(held(node, pinned), MIB);
});

t.test('without a habit it stays', async (t) => {
  const { cluster, digest, node } = await started({ seed: 5 });
  await cluster.until(cluster.pull(node, digest, SIZE));
  await cluster.run(10 * MINUTE_MS);
  t.equal(held(node, digest), SIZE);
});

t.test('dropped here, it is seeded from where the client put it', async (t) => {
  const { cluster, digest, node, other } = await started({
    ...{ seed: 6, supernodes: 0, borrows: true, habits: { cacheAfterPullMs: 0 } },
  });
  const bytes = await read(cluster, node, digest);
  await lend(node, bytes);
  await cluster.run(5000);
  t.equal(held(node, digest), 0, 'nothing of it in our own store');
  const before = cluster.origin.ratio(digest);
  t.equal(await cluster.until(cluster.pull(other, digest, SIZE)), digest);
  t.equal(cluster.origin.ratio(digest), before, 'not one byte from the registry');
  t.equal(held(node, digest), 0);
});

t.test('what lies there at the start is announced; changed, it is fetched as usual', async (t) => {
  const { cluster, digest, other } = await started({ seed: 7, supernodes: 0, borrows: true });
  const disk = createMemoryDisk();
  await lend({ disk }, await read(cluster, other, digest));
  cluster.crash(other);
  const node = await cluster.addNode('lender', 0, disk);
  await cluster.run(100);
  const third = await cluster.addNode('third');
  await cluster.run(100);
  const before = cluster.origin.ratio(digest);
  const pull = cluster.pull(third, digest, SIZE);
  await cluster.run(100);
  node.disk.flip(join(BORROWED, digestHex(digest)), SIZE - 1);
  t.equal(await cluster.until(pull), digest);
  const fromRegistry = cluster.origin.ratio(digest) - before;
  t.ok(fromRegistry > 0, 'the rest came from elsewhere');
  t.ok(fromRegistry < 1, `after the first pieces from here, ${fromRegistry} of the blob`);
  t.equal(
    await cluster.until(cluster.pull(node, digest, SIZE)),
    digest,
    'our own clients do not notice either',
  );
  t.equal(held(node, digest), SIZE);
});

async function started(
  options: Omit<ClusterOptions, 'nodes' | 'supernodes'> & { readonly supernodes?: number },
): Promise<{
  cluster: MemoryCluster;
  digest: Digest;
  node: Member<PeerEngine>;
  other: Member<PeerEngine>;
}> {
  const cluster = await MemoryCluster.start({ supernodes: 1, nodes: 2, ...options });
  const [node, other] = cluster.nodes;
  if (node === undefined || other === undefined) throw new Error('no nodes');
  return { cluster, digest: cluster.blob(SIZE), node, other };
}

/** Bytes of the blob in the node's own store. */
function held({ deps }: Member<PeerEngine>, digest: Digest): number {
  const summary = deps.store.get(digest);
  return summary?.borrowed === true ? 0 : (summary?.bytes ?? 0);
}

async function read(cluster: MemoryCluster, node: Member<PeerEngine>, digest: Digest): Promise<Uint8Array> {
  await cluster.until(cluster.pull(node, digest, SIZE));
  const blob = await node.deps.store.open(digest);
  const bytes = new Uint8Array(SIZE);
  await blob?.read(0, bytes);
  await blob?.close();
  return bytes;
}

/** Another program of the node's machine has the blob now. */
async function lend({ disk }: Pick<Member<PeerEngine>, 'disk'>, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(join(BORROWED, digestHex(digestOf(bytes))));
  await file.write(bytes, 0);
  await file.close();
}

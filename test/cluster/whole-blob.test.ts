import { join } from 'node:path';
import t from 'tap';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createMemoryDisk, type MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { Spool } from '../../lib/transfer/clients/spool.ts';
import { type ClusterOptions, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 20 * MIB;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };
const SPOOL = '/spool';

t.test('no byte goes out before all of the blob has matched its digest', async (t) => {
  const { cluster, digest, node } = await started({ seed: 1 });
  const signal = new AbortController().signal;
  const reader = node.engine.open({ digest, size: SIZE, origin: ORIGIN }, { signal })[Symbol.asyncIterator]();
  t.ok((await cluster.until(reader.next())).value);
  const blob = await node.deps.store.open(digest);
  t.ok(blob?.have.complete, 'every piece is here');
  await blob?.close();
  await cluster.until(Promise.resolve(reader.return?.()));
});

t.test('a part of a cold blob waits too', async (t) => {
  const { bytes, cluster, digest, node } = await started({ seed: 2 });
  const range = { start: SIZE - 1000, end: SIZE };
  for (const rangeIs of ['part', 'rest'] as const) {
    const got = await cluster.until(collect(node.engine, { digest, range, rangeIs }));
    t.ok(got.equals(bytes.subarray(range.start)), rangeIs);
  }
  t.equal(cluster.origin.ratio(digest), 1);
});

t.test('a registry that lies once goes unnoticed', async (t) => {
  const { bytes, cluster, digest, node } = await started({ seed: 3 });
  cluster.origin.lie = digest;
  cluster.origin.lieAt = 5 * MIB;
  const pull = collect(node.engine, { digest });
  while (cluster.origin.ratio(digest) < 0.99) await cluster.run(10);
  cluster.origin.lie = undefined;
  t.ok((await cluster.until(pull)).equals(bytes), 'read once more before the client saw anything');
});

t.test('while the registry goes on lying clients get nothing, and nothing is left behind', async (t) => {
  const { bytes, cluster, digest, disk, node } = await started({ seed: 4 });
  cluster.origin.lie = digest;
  const seen: number[] = [];
  const pull = async (): Promise<void> => {
    for await (const chunk of open(node.engine, { digest })) seen.push(chunk.length);
  };
  await t.rejects(cluster.until(pull()), { code: 'DIGEST_MISMATCH' });
  t.same(seen, []);
  t.same(await disk.list(SPOOL), []);
  cluster.origin.lie = undefined;
  t.ok((await cluster.until(collect(node.engine, { digest }))).equals(bytes), 'the next attempt');
  t.same(await disk.list(SPOOL), []);
});

t.test('what an earlier process left is removed', async (t) => {
  const disk = createMemoryDisk();
  await disk.makeFolder(SPOOL);
  await (await disk.open(join(SPOOL, 'old'))).close();
  await new Spool({ disk, rng: createRng(1) }, SPOOL).clear();
  t.same(await disk.list(SPOOL), []);
});

t.test(
  'where supernodes are slow to find out what they have read wrong, nodes read it once more between them',
  async (t) => {
    const disk = createMemoryDisk();
    const wholeBlobs = new Spool({ disk, rng: createRng(7) }, SPOOL);
    await wholeBlobs.clear();
    const cluster = await MemoryCluster.start({ seed: 7, nodes: 4, supernodes: 2, habits: { wholeBlobs } });
    const size = 40 * MIB;
    const digest = cluster.blob(size);
    cluster.origin.lie = digest;
    cluster.origin.lieAt = 20 * MIB;
    // Neither can check what it has read, for want of the rest.
    const [one, other] = cluster.supernodes;
    cluster.network.partition(one!.name, other!.name);
    const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, size)));
    const failed = (): string[] =>
      cluster.events.flatMap(({ event, who }) => (event.kind === 'blob-failed' ? [who] : []));
    while (failed().length === 0) await cluster.run(10);
    cluster.origin.lie = undefined;
    t.same(await cluster.until(pulls), Array(4).fill(digest));
    t.same(failed().sort(), ['node0', 'node1', 'node2', 'node3'], 'once each');
    t.ok(cluster.origin.ratio(digest) < 2.2, `registry bytes ${cluster.origin.ratio(digest)}x`);
  },
);

type Engine = MemoryCluster['nodes'][number]['engine'];
interface Wanted {
  readonly digest: Digest;
  readonly range?: { readonly start: number; readonly end: number };
  readonly rangeIs?: 'part' | 'rest';
}

function open(engine: Engine, wanted: Wanted): AsyncIterable<Uint8Array> {
  return engine.open({ ...wanted, size: SIZE, origin: ORIGIN }, { signal: new AbortController().signal });
}

async function collect(engine: Engine, wanted: Wanted): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of open(engine, wanted)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

async function started(options: Pick<ClusterOptions, 'seed'>): Promise<{
  cluster: MemoryCluster;
  node: MemoryCluster['nodes'][number];
  disk: MemoryDisk;
  digest: Digest;
  bytes: Buffer;
}> {
  const disk = createMemoryDisk();
  const wholeBlobs = new Spool({ disk, rng: createRng(options.seed) }, SPOOL);
  await wholeBlobs.clear();
  const cluster = await MemoryCluster.start({ ...options, nodes: 2, supernodes: 1, habits: { wholeBlobs } });
  const rng = createRng(options.seed);
  const bytes = Buffer.from(Uint8Array.from({ length: SIZE }, () => rng.int(256)));
  cluster.origin.add(bytes);
  return { cluster, node: cluster.nodes[0]!, disk, digest: digestOf(bytes), bytes };
}

import t from 'tap';
import { type Digest, pieceHash } from '../../lib/core/digest.ts';
import { bytesKey, decodeIndex, encodeIndex, indexKey } from '../../lib/objects/kept-index.ts';
import { MemoryObjectStore } from '../../lib/objects/memory-object-store.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** Several parts of the object store. */
const SIZE = 20 * MIB + 17;
/** Stripes of three owners. */
const STRIPED = 3 * 16 * MIB + 5 * MIB + 17;
/** Owners that do not send a blob look after this time whether somebody did. */
const OTHERS_MS = 60_000;

/** A cluster on that store, in which `pull` reads the one blob. */
async function setUp(
  objects: MemoryObjectStore,
  options: { seed: number; supernodes?: number; size?: number },
) {
  const { seed, size = SIZE, supernodes = 1 } = options;
  const cluster = await MemoryCluster.start({ seed, nodes: 2, supernodes, objects });
  const digest = cluster.blob(size);
  const pull = (node = 0): Promise<unknown> =>
    cluster.until(cluster.pull(cluster.nodes[node]!, digest, size).catch((error: unknown) => error));
  const kept = async (): Promise<boolean> => {
    for (let waited = 0; waited < 100 && !objects.objects.has(indexKey(digest)); waited++) {
      await cluster.run(100);
    }
    return objects.objects.has(indexKey(digest));
  };
  return { cluster, digest, pull, kept, ratio: () => cluster.origin.ratio(digest) };
}

t.test('three owners keep one copy, and owners without anything read it from there', async (t) => {
  const objects = new MemoryObjectStore();
  const first = await setUp(objects, { seed: 1, supernodes: 3, size: STRIPED });
  t.equal(await first.pull(), first.digest);
  t.ok(await first.kept());
  await first.cluster.run(2 * OTHERS_MS);
  t.equal(objects.begun, 1);
  t.equal(objects.open, 0);
  t.equal(objects.objects.get(bytesKey(first.digest))?.length, STRIPED);
  t.ok(first.ratio() <= 1.001);

  const second = await setUp(objects, { seed: 1, supernodes: 3, size: STRIPED });
  t.equal(second.digest, first.digest);
  t.equal(await second.pull(), second.digest);
  t.equal(second.ratio(), 0);
  t.equal(objects.begun, 1);
});

t.test('a small blob is kept whole', async (t) => {
  const objects = new MemoryObjectStore();
  const { digest, kept, pull } = await setUp(objects, { seed: 2, size: 300_000 });
  t.equal(await pull(), digest);
  t.ok(await kept());
  t.equal(objects.begun, 0);
  t.equal(objects.objects.get(bytesKey(digest))?.length, 300_000);
});

t.test('a store that fails in the middle costs nobody the pull', async (t) => {
  const objects = new MemoryObjectStore();
  const first = await setUp(objects, { seed: 3 });
  t.equal(await first.pull(), first.digest);
  t.ok(await first.kept());

  const reading = await setUp(objects, { seed: 3 });
  objects.failsAfterBytes = SIZE / 2;
  t.equal(await reading.pull(), reading.digest);
  t.ok(reading.ratio() > 0 && reading.ratio() <= 1, `the registry sent ${reading.ratio()}x`);
});

t.test('what was sent while the store failed is sent again', async (t) => {
  const objects = new MemoryObjectStore();
  objects.failing = true;
  const { cluster, digest, kept, pull } = await setUp(objects, { seed: 5 });
  t.equal(await pull(), digest);
  await cluster.run(1000);
  objects.failing = false;
  await cluster.run(20_000);
  t.ok(await kept());
});

t.test('what the disk had before is kept once a node asks for it', async (t) => {
  const objects = new MemoryObjectStore();
  objects.failing = true;
  const { cluster, digest, kept, pull } = await setUp(objects, { seed: 8, size: 300_000 });
  t.equal(await pull(0), digest);
  await cluster.run(10 * OTHERS_MS);
  objects.failing = false;
  await cluster.run(OTHERS_MS);
  t.notOk(objects.objects.has(indexKey(digest)), 'it was given up');
  t.equal(await pull(1), digest);
  await cluster.run(OTHERS_MS);
  t.ok(await kept());
});

/** Changes a byte of what is kept, and of its index, so that each piece looks right. */
function forge(objects: MemoryObjectStore, digest: Digest): void {
  const bytes = objects.objects.get(bytesKey(digest))!;
  bytes[1000] = 255 - bytes[1000]!;
  const { hash, info } = decodeIndex(digest, objects.objects.get(indexKey(digest))!)!;
  const forged = pieceHash(bytes.subarray(0, info.pieceBytes));
  const index = { info, hash: (piece: number) => (piece === 0 ? forged : hash(piece)) };
  objects.objects.set(indexKey(digest), encodeIndex(index));
}

t.test('a forged copy is found by the whole digest, and nobody gets it as the blob', async (t) => {
  const objects = new MemoryObjectStore();
  const first = await setUp(objects, { seed: 6 });
  t.equal(await first.pull(), first.digest);
  t.ok(await first.kept());
  forge(objects, first.digest);

  const second = await setUp(objects, { seed: 6 });
  const outcomes = [await second.pull(0), await second.pull(0), await second.pull(1)];
  for (const outcome of outcomes) {
    t.ok(outcome === second.digest || outcome instanceof Error, 'the blob or a failure');
  }
  t.equal(outcomes.at(-1), second.digest);
  await second.cluster.run(5_000);
  t.ok(await second.kept(), 'it is kept anew');
  t.ok(objects.objects.get(bytesKey(second.digest))?.[1000] !== undefined);
  const third = await setUp(objects, { seed: 6 });
  t.equal(await third.pull(), third.digest);
  t.equal(third.ratio(), 0, 'and right');
});

t.test('a wrong copy that the store does not remove just then is removed later, and kept anew', async (t) => {
  const objects = new MemoryObjectStore();
  const first = await setUp(objects, { seed: 9 });
  t.equal(await first.pull(), first.digest);
  t.ok(await first.kept());
  forge(objects, first.digest);
  const forged = objects.objects.get(bytesKey(first.digest))![1000];

  objects.readOnly = true;
  const { cluster, digest, pull, ratio } = await setUp(objects, { seed: 9 });
  await pull(0);
  t.equal(await pull(0), digest);
  const once = ratio();
  await cluster.run(OTHERS_MS);
  t.ok(objects.objects.has(indexKey(digest)), 'it is still there');
  t.equal(await pull(1), digest, 'and nobody reads it');
  t.equal(ratio(), once, 'who has it does not ask the registry again');
  objects.readOnly = false;
  await cluster.run(2 * OTHERS_MS);
  t.ok(objects.objects.has(indexKey(digest)));
  t.not(objects.objects.get(bytesKey(digest))![1000], forged);

  const third = await setUp(objects, { seed: 9 });
  t.equal(await third.pull(), digest);
  t.equal(third.ratio(), 0, 'the copy is right');
});

t.test('a wrong copy that somebody else has replaced meanwhile is left there', async (t) => {
  const objects = new MemoryObjectStore();
  const first = await setUp(objects, { seed: 10 });
  t.equal(await first.pull(), first.digest);
  t.ok(await first.kept());
  const [bytes, index] = [bytesKey(first.digest), indexKey(first.digest)];
  const right = { bytes: objects.objects.get(bytes)!.slice(), index: objects.objects.get(index)!.slice() };
  forge(objects, first.digest);

  objects.readOnly = true;
  const { cluster, digest, pull } = await setUp(objects, { seed: 10 });
  await pull(0);
  t.equal(await pull(0), digest);
  objects.readOnly = false;
  await objects.put(bytes, right.bytes);
  await objects.put(index, right.index);
  await cluster.run(2 * OTHERS_MS);
  t.equal(objects.begun, 1, 'it is not sent again');
  t.same(objects.objects.get(bytes), right.bytes);
  t.same(objects.objects.get(index), right.index);
});

t.test('the same seed gives the same run', async (t) => {
  const run = async (): Promise<string> => {
    const { cluster, kept, pull } = await setUp(new MemoryObjectStore(), { seed: 7, supernodes: 3 });
    await pull();
    await kept();
    return cluster.traceHash;
  };
  t.equal(await run(), await run());
});

import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { StoredBlob } from '../../lib/store/store.ts';
import { DigestCheck } from '../../lib/transfer/blobs/digest-check.ts';
import { type BufferPool, createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { readStored } from '../../lib/transfer/clients/blob-reader.ts';
import { NEVER } from '../contract/peer-network-parts.ts';
import { type SampleBlob, sampleBlob, storeWhole, writePieces } from '../store/sample-blob.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** A blob of twelve pieces, empty in a store that counts what is read of it. */
async function setUp(t: Test, budgetBytes = 4 * MIB) {
  const clock = new FakeClock();
  const parts = { disk: createMemoryDisk(), keyValue: createMemoryKeyValue(), log: silentLog(), clock };
  const store = await openBlobStore({ ...parts, folder: '/n', wallClockMs: () => 0 });
  t.teardown(() => store.close());
  const sample = sampleBlob(1, 12 * KIB - 100);
  const pool = createBufferPool({ budgetBytes });
  return { store, sample, pool };
}

/** The blob, counting reads. */
function counted(stored: StoredBlob): { readonly stored: StoredBlob; readonly reads: () => number } {
  let reads = 0;
  const read = (offset: number, into: Uint8Array): Promise<void> => {
    reads++;
    return stored.read(offset, into);
  };
  const counting = new Proxy(stored, {
    get: (target, name) => (name === 'read' ? read : (Reflect.get(target, name, target) as unknown)),
  });
  return { stored: counting, reads: () => reads };
}

/** What a download does with a piece once it is verified. */
async function land(
  check: DigestCheck,
  stored: StoredBlob,
  sample: SampleBlob,
  pool: BufferPool,
  index: number,
) {
  const buffer = await pool.acquire(sample.piece(index).length, NEVER);
  buffer.bytes.set(sample.piece(index));
  await writePieces(stored, sample, [index]);
  check.offer(index, buffer);
  buffer.release();
  return await check.advance();
}

await t.test('pieces a little out of order are hashed from memory, which is all given back', async (t) => {
  const { store, sample, pool } = await setUp(t);
  const { stored, reads } = counted(await store.create(sample.info));
  const check = new DigestCheck(stored, pool);
  let digest: string | undefined;
  for (const index of [1, 3, 2, 0, 5, 4, 7, 6, 11, 10, 9, 8]) {
    t.equal(digest, undefined);
    digest = await land(check, stored, sample, pool, index);
  }
  t.equal(digest, sample.info.digest);
  t.equal(reads(), 0);
  t.equal(pool.usedBytes, 0);
  await stored.close();
});

await t.test('pieces far ahead, or without memory to keep them in, are read back', async (t) => {
  // Of two buffers one may be kept.
  for (const [budget, readBack] of [
    [4 * MIB, 3],
    [128 * KIB, 10],
  ] as const) {
    const { store, sample, pool } = await setUp(t, budget);
    const { stored, reads } = counted(await store.create(sample.info));
    const check = new DigestCheck(stored, pool, 8 * KIB);
    let digest: string | undefined;
    for (let index = 11; index >= 0; index--) digest = await land(check, stored, sample, pool, index);
    t.equal(digest, sample.info.digest);
    t.equal(reads(), readBack);
    t.equal(pool.usedBytes, 0);
    await stored.close();
  }
});

await t.test('a check that nobody waits for any more keeps nothing', async (t) => {
  const { store, sample, pool } = await setUp(t);
  const stored = await store.create(sample.info);
  const check = new DigestCheck(stored, pool);
  await land(check, stored, sample, pool, 5);
  t.equal(pool.usedBytes, 64 * KIB);
  check.stop();
  t.equal(pool.usedBytes, 0);
  await land(check, stored, sample, pool, 6);
  t.equal(pool.usedBytes, 0);
  await stored.close();
});

await t.test('readers that stand still leave half of the memory to what arrives', async (t) => {
  const { store, pool } = await setUp(t, 256 * KIB);
  const sample = sampleBlob(2, 256 * KIB, 64 * KIB);
  const stored = await storeWhole(store, sample);
  const range = { start: 100, end: sample.bytes.length };
  const readers = Array.from({ length: 20 }, () => readStored(stored, range, pool));
  const received = readers.map((): Uint8Array[] => []);
  const readOn = async (i: number): Promise<boolean> => {
    const next = await readers[i]?.next();
    if (next?.done !== false) return false;
    received[i]?.push(Uint8Array.from(next.value));
    return true;
  };
  for (const i of readers.keys()) await readOn(i);
  t.equal(pool.usedBytes, 128 * KIB, 'held by the first, the others have memory outside of the budget');
  const arriving = pool.tryAcquire(128 * KIB);
  t.ok(arriving !== undefined);
  arriving?.release();
  for (const [i, reader] of readers.entries()) {
    if (i % 2 === 1) await reader.return(undefined);
    else while (await readOn(i));
  }
  for (const [i, chunks] of received.entries()) {
    const expected = i % 2 === 1 ? sample.bytes.subarray(100, 100 + 64 * KIB) : sample.bytes.subarray(100);
    t.ok(Buffer.concat(chunks).equals(expected), `reader ${i}`);
  }
  t.equal(pool.usedBytes, 0);
  await stored.close();
});

await t.test('a reader whose store fails gives its memory back', async (t) => {
  const { store, sample, pool } = await setUp(t);
  const stored = await store.create(sample.info);
  const reader = readStored(stored, { start: 0, end: 100 * KIB }, pool);
  await t.rejects(reader.next(), { code: 'STORE_FAILED' });
  t.equal(pool.usedBytes, 0);
  await stored.close();
});

await t.test('memory is lent whole, then in halves, then outside of the budget', async (t) => {
  const pool = createBufferPool({ budgetBytes: 4 * MIB });
  const lent = Array.from({ length: 4 }, () => pool.lend(MIB));
  t.same(
    lent.map(({ bytes }) => bytes.length / KIB),
    [1024, 1024, 64, 64],
  );
  t.equal(pool.usedBytes, 2 * MIB);
  lent[0]?.release();
  t.equal(pool.lend(3 * MIB).bytes.length, 0.75 * MIB, 'as much as there is');
  t.equal(pool.lend(100).bytes.length, 100);
});

await t.test('shared memory is free when its last holder has released it', async (t) => {
  const pool = createBufferPool({ budgetBytes: 256 * KIB });
  const first = await pool.acquire(64 * KIB, NEVER);
  const second = first.share();
  t.equal(second?.bytes.buffer, first.bytes.buffer);
  first.release();
  first.release();
  t.equal(first.share(), undefined, 'what was given back cannot be shared');
  t.equal(pool.usedBytes, 64 * KIB);
  second?.release();
  t.equal(pool.usedBytes, 0);
});

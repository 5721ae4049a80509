import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import type { Disk, DiskFile } from '../../lib/store/disk/disk.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { PieceSink } from '../../lib/transfer/blobs/piece-sink.ts';
import { SharedBlob } from '../../lib/transfer/blobs/shared-blob.ts';
import { createBufferPool, unpooled } from '../../lib/transfer/buffer-pool.ts';
import { HOLD_BACK_BYTES, readShared } from '../../lib/transfer/clients/blob-reader.ts';
import { sampleBlob } from '../store/sample-blob.ts';

const SIZE = 4 * HOLD_BACK_BYTES;
const NEVER = new AbortController().signal;

/** A blob of four pieces on this disk, and what its pieces go through. */
async function blobOn(disk: Disk, complete: () => void = () => {}) {
  const log = silentLog();
  const clock = new FakeClock();
  const store = await openBlobStore({
    ...{ disk, log, clock, keyValue: createMemoryKeyValue(), folder: '/n', wallClockMs: () => 0 },
  });
  const sample = sampleBlob(1, SIZE, HOLD_BACK_BYTES);
  const pool = createBufferPool({ budgetBytes: 1 << 20 });
  const blob = new SharedBlob(await store.create(sample.info), pool, 1, 1, 0);
  const wrong = (): void => void t.fail('the blob is right');
  const sink = new PieceSink(
    { clock, log, metrics: createMetrics({ defaults: false }) },
    { complete, wrong, dropsEverywhere: false },
  );
  const accept = (index: number, onStored?: () => void): Promise<void> =>
    sink.accept(blob, sample.proofs[index]!, unpooled(sample.piece(index)), 'supernode', {}, onStored);
  return { accept, blob, pool, sample };
}

/** The disk with another `sync` or `write` of each file. */
function withFiles(memory: Disk, changed: Partial<DiskFile>): Disk {
  return Object.assign(Object.create(memory) as Disk, {
    open: async (path: string) => Object.assign(Object.create(await memory.open(path)) as DiskFile, changed),
  });
}

t.test('the end of a blob waits for its digest, and not for a disk that takes its time', async (t) => {
  const syncing = Promise.withResolvers<void>();
  const complete = Promise.withResolvers<void>();
  const disk = withFiles(createMemoryDisk(), { sync: () => syncing.promise });
  const { accept, blob, pool, sample } = await blobOn(disk, complete.resolve);
  const hooks = { heldBackBytes: 64 * 1024, waitsFor: () => {} };
  const reading = readShared(blob, { start: 0, end: SIZE }, hooks, pool, NEVER);
  const chunks: Buffer[] = [];
  const done = (async () => {
    for await (const chunk of reading) chunks.push(Buffer.from(chunk));
  })();
  for (const index of [1, 2, 3]) await accept(index);
  t.same(chunks, [], 'nothing before the first piece');
  await accept(0);
  await done;
  t.equal(digestOf(Buffer.concat(chunks)), sample.info.digest);
  t.notOk(blob.stored.complete, 'the disk is not done');
  syncing.resolve();
  await complete.promise;
  t.ok(blob.stored.complete);
});

t.test('who passes a piece on hears of it once it is on disk, and before it is in the digest', async (t) => {
  const { accept, blob } = await blobOn(createMemoryDisk());
  const seen: string[] = [];
  const look = (index: number) => (): void =>
    void seen.push(`${index}: stored ${blob.stored.have.has(index)}, ${blob.check.hashed} hashed`);
  await accept(0, look(0));
  await accept(2, look(2));
  await accept(1, look(1));
  await accept(1, () => t.fail('a second copy is no news'));
  t.same(seen, ['0: stored true, 0 hashed', '2: stored true, 1 hashed', '1: stored true, 1 hashed']);
  t.equal(blob.check.hashed, 3);
});

t.test('a client that waits for a piece gets it while the disk still writes it', async (t) => {
  const memory = createMemoryDisk();
  const written = Promise.withResolvers<void>();
  const { accept, blob, pool, sample } = await blobOn(withFiles(memory, { write: () => written.promise }));
  const waited: number[] = [];
  const hooks = { heldBackBytes: 64 * 1024, waitsFor: (piece: number) => waited.push(piece) };
  const reading = readShared(blob, { start: 10, end: SIZE }, hooks, pool, NEVER);
  const first = reading.next();
  const accepting = accept(0);
  t.same((await first).value, sample.piece(0).subarray(10));
  t.notOk(blob.stored.have.has(0), 'the disk has not got it');
  const second = reading.next();
  t.same(waited, [0, 1], 'the next piece is waited for meanwhile');
  written.resolve();
  await accepting;
  await accept(1);
  t.same((await second).value, sample.piece(1));
  await reading.return(undefined);
});

t.test('what a client was given and the disk then did not take is told with the failure', async (t) => {
  const memory = createMemoryDisk();
  const { accept, blob, pool, sample } = await blobOn(memory);
  memory.fillUpAfter(HOLD_BACK_BYTES / 2);
  const told: [number, Uint8Array][] = [];
  const hooks = {
    ...{ heldBackBytes: 64 * 1024, waitsFor: () => {} },
    unwritten: (start: number, bytes: Uint8Array) => told.push([start, bytes]),
  };
  const reading = readShared(blob, { start: 0, end: SIZE }, hooks, pool, NEVER);
  const first = reading.next();
  const accepting = accept(0);
  t.same((await first).value, sample.piece(0));
  await t.rejects(reading.next(), { code: 'STORE_FULL' });
  await t.rejects(accepting, { code: 'STORE_FULL' });
  t.same(told, [[0, sample.piece(0)]]);
});

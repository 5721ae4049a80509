import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { readShared } from '../../lib/transfer/blob-reader.ts';
import { createBufferPool, unpooled } from '../../lib/transfer/buffer-pool.ts';
import { HOLD_BACK_BYTES } from '../../lib/transfer/direct-read.ts';
import { PieceSink } from '../../lib/transfer/piece-sink.ts';
import { SharedBlob } from '../../lib/transfer/shared-blob.ts';
import { sampleBlob } from '../store/sample-blob.ts';

const SIZE = 4 * HOLD_BACK_BYTES;

t.test('the end of a blob waits for its digest, and not for a disk that takes its time', async (t) => {
  const memory = createMemoryDisk();
  const syncing = Promise.withResolvers<void>();
  const disk = Object.create(memory) as typeof memory;
  disk.open = async (path) => {
    const file = await memory.open(path);
    return Object.create(file, { sync: { value: () => syncing.promise } }) as typeof file;
  };
  const clock = new FakeClock();
  const parts = { keyValue: createMemoryKeyValue(), log: silentLog(), clock, folder: '/n' };
  const store = await openBlobStore({ disk, ...parts, wallClockMs: () => 0 });
  const sample = sampleBlob(1, SIZE, HOLD_BACK_BYTES);
  const pool = createBufferPool({ budgetBytes: 1 << 20 });
  const blob = new SharedBlob(await store.create(sample.info), pool, 1, 1, 0);
  const complete = Promise.withResolvers<void>();
  const sink = new PieceSink(
    { clock, log: parts.log, metrics: createMetrics({ defaults: false }) },
    {
      complete: () => complete.resolve(),
      wrong: () => t.fail('the blob is right'),
      dropsEverywhere: false,
    },
  );
  const hooks = { holdsBack: true, waitsFor: () => {} };
  const reading = readShared(blob, { start: 0, end: SIZE }, hooks, pool, new AbortController().signal);
  const chunks: Buffer[] = [];
  const done = (async () => {
    for await (const chunk of reading) chunks.push(Buffer.from(chunk));
  })();
  for (const proof of sample.proofs.slice(1)) {
    await sink.accept(blob, proof, unpooled(sample.piece(proof.index)), 'supernode');
  }
  t.same(chunks, [], 'nothing before the first piece');
  await sink.accept(blob, sample.proofs[0]!, unpooled(sample.piece(0)), 'supernode');
  await done;
  t.equal(digestOf(Buffer.concat(chunks)), sample.info.digest);
  t.notOk(blob.stored.complete, 'the disk is not done');
  syncing.resolve();
  await complete.promise;
  t.ok(blob.stored.complete);
});

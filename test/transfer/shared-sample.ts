import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { StoredBlob } from '../../lib/store/store.ts';
import { SharedBlob } from '../../lib/transfer/blobs/shared-blob.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { type SampleBlob, sampleBlob } from '../store/sample-blob.ts';

/** A blob of four pieces that a node shares and holds nothing of, in a store in memory. */
export async function sharedSample(
  clock: Clock,
): Promise<{ readonly sample: SampleBlob; readonly stored: StoredBlob; readonly blob: SharedBlob }> {
  const parts = { disk: createMemoryDisk(), keyValue: createMemoryKeyValue(), log: silentLog(), clock };
  const store = await openBlobStore({ ...parts, folder: '/n', wallClockMs: () => 0 });
  const sample = sampleBlob(1, 4096);
  const stored = await store.create(sample.info);
  const blob = new SharedBlob(stored, createBufferPool({ budgetBytes: 1 << 20 }), 1, 1, 0);
  return { sample, stored, blob };
}

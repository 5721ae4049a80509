import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { HeldPieces } from '../../lib/store/held-pieces.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { chunkOfKey } from '../../lib/store/record.ts';
import { createRecordWriter } from '../../lib/store/record-writer.ts';
import { sampleBlob } from './sample-blob.ts';

await t.test(
  'marks that another batch took and could not record are recorded before their pieces count',
  async (t) => {
    const { info, proofs } = sampleBlob(1, 20 * 1024);
    const keyValue = createMemoryKeyValue();
    const faulty: typeof keyValue = {
      ...keyValue,
      batch: (operations, options) =>
        options?.sync === true ? Promise.reject(new Error('EIO')) : keyValue.batch(operations, options),
    };
    const writer = createRecordWriter({ keyValue: faulty, clock: new FakeClock(), log: silentLog() });
    const pieces = new HeldPieces(info);
    const head = { boot: 1, complete: false, synced: false, pinned: false, heldBytes: 0, usedAtMs: 0 };
    const blob = { ...head, info, pieces };
    const marked = async (): Promise<number> => {
      const found = new HeldPieces(info);
      for await (const [key, value] of keyValue.entries('piece/')) found.load(chunkOfKey(key), value);
      return found.marked.count;
    };

    pieces.expect(proofs[1]!);
    pieces.mark(proofs[0]!);
    writer.changed(blob);
    const flushed = t.rejects(writer.flush({ sync: true }), { message: 'EIO' });
    await writer.record(blob);
    t.equal(await marked(), 2, 'by the batch behind it');
    await flushed;

    pieces.expect(proofs[3]!);
    pieces.mark(proofs[2]!);
    writer.changed(blob);
    await t.rejects(writer.flush({ sync: true }));
    pieces.mark(proofs[3]!);
    await writer.record(blob);
    t.equal(await marked(), 4, 'by the next one');
  },
);

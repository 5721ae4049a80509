import { pino } from 'pino';
import t from 'tap';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { RecordKeeper } from '../../tracker/preheat/record-keeper.ts';

function rig() {
  const clock = new FakeClock();
  const disk = createMemoryKeyValue();
  const tries: number[] = [];
  const records: KeyValue = {
    ...disk,
    async batch(operations, options) {
      tries.push(clock.now());
      await disk.batch(operations, options);
    },
  };
  const said: string[] = [];
  const log = pino(
    {},
    { write: (line: string) => void said.push((JSON.parse(line) as { msg: string }).msg) },
  );
  const keeper = new RecordKeeper<string>(
    { log, clock, records },
    { what: 'job', keyOf: (id) => `job/${id}`, encode: (item) => Buffer.from(item) },
  );
  /** Time passes as in a tracker. */
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 200) {
      clock.after(200, () => {});
      clock.advanceToNext();
      await keeper.tick({ sync: true });
    }
  };
  const kept = async (id: number) => {
    const value = await disk.crash(0).get(`job/${id}`);
    return value === undefined ? undefined : Buffer.from(value).toString();
  };
  return { disk, keeper, kept, pass, said, tries };
}

t.test('a disk that takes nothing is told once, and tried ever more rarely', async (t) => {
  const { disk, keeper, kept, pass, said, tries } = rig();
  disk.failBatches('ENOSPC');
  keeper.note(1, 'one');
  await pass(10 * 60_000);
  t.same(said, ['preheat jobs cannot be written']);
  t.ok(tries.length >= 12 && tries.length <= 18, `${tries.length} attempts in ten minutes`);
  keeper.note(1, 'newer');
  disk.failBatches(undefined);
  await pass(61_000);
  t.equal(await kept(1), 'newer');
  t.same(said, ['preheat jobs cannot be written', 'preheat jobs are written again']);
  disk.failBatches('ENOSPC');
  keeper.note(1, undefined);
  await pass(200);
  t.equal(said.length, 3, 'the next trouble is told too');
  disk.failBatches(undefined);
  await pass(1200);
  t.equal(await kept(1), undefined);
});

t.test('somebody who waits for it is not kept waiting by a failure before', async (t) => {
  const { disk, keeper, kept, pass, tries } = rig();
  disk.failBatches('EIO');
  keeper.note(1, 'one');
  await t.rejects(keeper.save(), { code: 'STORE_FAILED', message: /keep the job/ });
  await pass(600);
  t.equal(tries.length, 1);
  disk.failBatches(undefined);
  keeper.note(2, 'two');
  await keeper.save();
  t.same([await kept(1), await kept(2)], ['one', 'two']);
});

t.test(
  'what is saved is on stable storage, also when a write that does not wait for it had it first',
  async (t) => {
    const { keeper, kept } = rig();
    keeper.note(1, 'one');
    await Promise.all([keeper.tick({ sync: false }), keeper.save()]);
    t.equal(await kept(1), 'one');
    keeper.note(1, undefined);
    await keeper.tick({ sync: false });
    keeper.note(2, 'two');
    await keeper.tick({ sync: false });
    t.same([await kept(1), await kept(2)], ['one', undefined], 'a power cut would lose it still');
    keeper.note(2, 'newer');
    await keeper.save();
    t.same([await kept(1), await kept(2)], [undefined, 'newer']);
  },
);

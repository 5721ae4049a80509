import t from 'tap';
import { chooseGarbage, chooseVictims, held, reserved } from '../../lib/store/eviction.ts';
import { blobPath } from '../../lib/store/path.ts';
import { boot, FOLDER, type Machine, pass, settle } from './machine.ts';
import { readWhole, type SampleBlob, sampleBlob, storeWhole, writePieces } from './sample-blob.ts';

const KIB = 1024;
const samples = Array.from({ length: 12 }, (_, seed) => sampleBlob(seed, 4 * KIB));
const sample = (index: number): SampleBlob => samples[index] ?? sampleBlob(99, 1);

/** Stores blobs 0, 1, 2… one second after another. */
async function fill({ clock, store }: Machine, count: number): Promise<void> {
  for (const each of samples.slice(0, count)) {
    await (await storeWhole(store, each)).close();
    await pass(clock, 1000);
  }
}

const here = ({ store }: Machine): number[] =>
  samples.flatMap((each, index) => (store.get(each.info.digest) === undefined ? [] : [index]));

t.test('victims: complete before partial, longest unused first, pinned never, all or nothing', async (t) => {
  const make = (name: string, usedAtMs: number, more: object = {}) => ({
    ...{ name, usedAtMs, info: { size: 10 }, heldBytes: 10, complete: true, pinned: false },
    ...more,
  });
  const blobs = [
    make('partial', 0, { complete: false, heldBytes: 4 }),
    make('pinned', 1, { pinned: true }),
    make('new', 3),
    make('old', 2),
  ];
  const names = (list: readonly { name: string }[] | undefined): string[] | undefined =>
    list?.map(({ name }) => name);
  t.same(names(chooseVictims(blobs, 1, reserved)), ['old']);
  t.same(names(chooseVictims(blobs, 15, reserved)), ['old', 'new']);
  t.same(names(chooseVictims(blobs, 30, reserved)), ['old', 'new', 'partial']);
  t.equal(chooseVictims(blobs, 31, reserved), undefined);
  t.equal(chooseVictims(blobs, 25, held), undefined, 'a partial blob frees what it has');
  t.same(names(chooseVictims(blobs, 0, reserved)), []);

  const space = { totalBytes: 1000, freeBytes: 900 };
  const state = { reservedBytes: 40, space, nowMs: 103 };
  t.same(names(chooseGarbage(blobs, state, {})), [], 'nothing is full');
  t.same(names(chooseGarbage(blobs, state, { ttlMs: 100 })), ['partial', 'old'], 'more than 100 ms ago');
  t.same(names(chooseGarbage(blobs, state, { maxBytes: 40 })), ['old'], 'from above 36 down to 32');
  t.same(names(chooseGarbage(blobs, state, { maxBytes: 45 })), [], '40 of 45 is not above 90 %');
  t.same(names(chooseGarbage(blobs, state, { maxBytes: 45, high: 0.8, low: 0.5 })), ['old', 'new']);
  const full = { ...state, space: { totalBytes: 100, freeBytes: 5 } };
  t.same(names(chooseGarbage(blobs, full, {})), ['old', 'new'], 'the disk is fuller than its high mark');
  t.same(names(chooseGarbage(blobs, { ...full, nowMs: 102 }, { ttlMs: 100 })), ['partial', 'old', 'new']);
});

t.test(
  'above the high mark the collector removes what is unused for longest, down to the low mark',
  async (t) => {
    const machine = await boot({}, { maxBytes: 10 * 4 * KIB, high: 0.7, low: 0.5 });
    await fill(machine, 7);
    t.same(await machine.store.gc(), { removed: [], freedBytes: 0 });
    await pass(machine.clock, 120_000);
    t.same(here(machine), [0, 1, 2, 3, 4, 5, 6], 'the high mark is not passed');
    await (await machine.store.open(sample(0).info.digest))?.close();
    await (await storeWhole(machine.store, sample(7))).close();
    await pass(machine.clock, 60_000);
    t.same(here(machine), [0, 4, 5, 6, 7], 'by itself, within a minute');
    await machine.store.close();
  },
);

t.test('what was not used for the time to live goes; a pin keeps it, over restarts', async (t) => {
  const options = { ttlMs: 600_000 };
  const first = await boot({}, options);
  await fill(first, 3);
  t.equal(await first.store.pin(sample(1).info.digest), true);
  t.equal(await first.store.pin(sample(9).info.digest), false, 'not here');
  await first.store.close();
  const machine = await boot(
    { disk: first.disk, keyValue: first.keyValue.crash(0), clock: first.clock },
    options,
  );
  t.match(machine.store.get(sample(1).info.digest), { pinned: true });
  await pass(machine.clock, 500_000);
  await (await machine.store.open(sample(2).info.digest))?.close();
  t.same(here(machine), [0, 1, 2]);
  await pass(machine.clock, 180_000);
  t.same(here(machine), [1, 2]);
  await pass(machine.clock, 600_000);
  t.same(here(machine), [1]);
  t.equal(await machine.store.unpin(sample(1).info.digest), true);
  await pass(machine.clock, 60_000);
  t.same(here(machine), []);
  t.equal(await machine.store.unpin(sample(1).info.digest), false);
  await machine.store.close();
});

t.test('case 56: nothing that is open is removed, whatever is full or old', async (t) => {
  const machine = await boot({}, { maxBytes: 3 * 4 * KIB, high: 0.1, low: 0, ttlMs: 1000 });
  const { clock, store } = machine;
  const open = await storeWhole(store, sample(0));
  const partial = await store.create(sample(1).info);
  await writePieces(partial, sample(1), [0]);
  await pass(clock, 600_000);
  await store.gc();
  await t.rejects(store.create(sampleBlob(50, 2 * 4 * KIB).info), { code: 'STORE_FULL' });
  t.same(here(machine), [0, 1]);
  t.same(await readWhole(open), sample(0).bytes);
  await open.close();
  t.same(here(machine), [0, 1]);
  await pass(clock, 60_000);
  t.same(here(machine), [1], 'used until it was closed, and too old a minute later');
  await partial.close();
  await store.close();
});

t.test('a pinned blob makes no room for others, and goes when it is removed by name', async (t) => {
  const machine = await boot({}, { maxBytes: 2 * 4 * KIB });
  await fill(machine, 2);
  await machine.store.pin(sample(0).info.digest);
  await (await storeWhole(machine.store, sample(2))).close();
  t.same(here(machine), [0, 2]);
  await machine.store.pin(sample(2).info.digest);
  await t.rejects(machine.store.create(sample(3).info), { code: 'STORE_FULL' });
  t.equal(await machine.store.remove(sample(0).info.digest), true);
  await (await storeWhole(machine.store, sample(3))).close();
  t.same(here(machine), [2, 3]);
  await machine.store.close();
});

t.test('a full disk: unused blobs make room in the middle of a piece, and the write goes on', async (t) => {
  const machine = await boot();
  await fill(machine, 3);
  const { disk, store } = machine;
  const reader = await store.open(sample(0).info.digest);
  const large = sampleBlob(60, 8 * KIB);
  const open = await store.create(large.info);
  disk.fillUpAfter(1500);
  await writePieces(open, large, [0]);
  await writePieces(open, large, [1, 2, 3]);
  t.same(here(machine), [0], 'as many as the rest of the blob takes, not the one that is read');
  await writePieces(open, large, [4, 5, 6, 7]);
  await open.commit();
  t.same(await readWhole(open), large.bytes);
  await open.close();

  await store.pin(large.info.digest);
  disk.fillUpAfter(100);
  const more = sample(5);
  await t.rejects(store.create(more.info), { code: 'STORE_FULL' }, 'seen before anything is written');
  disk.heal();
  const last = await store.create(more.info);
  disk.fillUpAfter(100);
  await t.rejects(writePieces(last, more, [0]), { code: 'STORE_FULL' });
  t.same(last.have.count, 0);
  t.same(here(machine), [0, 5], 'nothing goes when it would not help');
  disk.heal();
  await writePieces(last, more, [0]);
  await last.close();
  if (reader !== undefined) t.same(await readWhole(reader), sample(0).bytes);
  await store.close();
});

t.test('a disk so full that not even a removal can be recorded is made empty all the same', async (t) => {
  const machine = await boot();
  await fill(machine, 3);
  const { disk, keyValue, store } = machine;
  const large = sampleBlob(60, 8 * KIB);
  const open = await store.create(large.info);
  const remove = disk.remove.bind(disk);
  disk.remove = async (path) => {
    await remove(path);
    keyValue.failBatches(undefined);
  };
  disk.fillUpAfter(0);
  keyValue.failBatches('ENOSPC');
  await writePieces(open, large, [...large.proofs.keys()]);
  await open.commit();
  await open.close();
  t.same(here(machine), [2], 'the first two made room');
  await store.close();
  const again = await boot({ disk, keyValue });
  t.same(here(again), [2]);
  t.same(await readWhole(await storeWhole(again.store, large)), large.bytes);
  await again.store.close();
});

t.test('two writers on a full disk do not both make the same room', async (t) => {
  const machine = await boot();
  await fill(machine, 6);
  const { disk, store } = machine;
  const wanted = [sample(6), sample(7)];
  const open = await Promise.all(wanted.map(({ info }) => store.create(info)));
  disk.fillUpAfter(0);
  const writes = open.flatMap((each, at) =>
    [0, 1, 2, 3].map((index) => writePieces(each, sample(6 + at), [index])),
  );
  await Promise.all(writes);
  await settle();
  const left = here(machine).filter((index) => index < 6).length;
  t.ok(left >= 2, `${left} of six are left: two blobs came`);
  for (const each of open) {
    await each.commit();
    await each.close();
  }
  t.same(disk.bytesOf(blobPath(FOLDER, sample(6).info.digest)), sample(6).bytes);
  await store.close();
});

import t from 'tap';
import { pieceHash } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import type { Disk } from '../../lib/store/disk/disk.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { HeldPieces } from '../../lib/store/held-pieces.ts';
import type { MemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { chunkOfKey } from '../../lib/store/record.ts';
import type { BlobStore, StoredBlob } from '../../lib/store/store.ts';
import { storeError } from '../../lib/store/store-error.ts';
import { boot, type Machine, pass, settle } from './machine.ts';
import {
  heldPieces,
  readPiece,
  readWhole,
  sampleBlob,
  storeWhole,
  withProofs,
  writePieces,
} from './sample-blob.ts';

const MIB = 1024 * 1024;
const blob = sampleBlob(1, 20 * 1024);
const all = [...blob.proofs.keys()];

/** How many pieces the records tell of: marked with their proof, and held. */
async function recordedPieces(keyValue: MemoryKeyValue): Promise<{ marked: number; held: number }> {
  const pieces = new HeldPieces(blob.info);
  for await (const [key, value] of keyValue.entries('piece/')) pieces.load(chunkOfKey(key), value);
  return { marked: pieces.marked.count, held: pieces.have.count };
}

async function reopened(store: BlobStore): Promise<StoredBlob> {
  const open = await store.open(blob.info.digest);
  if (open === undefined) throw new Error('the blob is gone');
  return open;
}

await t.test('a full disk refuses a piece, keeps the others, and takes it once there is room', async (t) => {
  for (const [at, code] of ['ENOSPC', 'EDQUOT'].entries()) {
    const { disk, store } = await boot();
    const open = await store.create(blob.info);
    await writePieces(open, blob, [0, 1]);
    if (at === 0) disk.fillUpAfter(1500);
    else disk.fail(['write'], code);
    if (at === 0) await writePieces(open, blob, [2]);
    await t.rejects(writePieces(open, blob, [3]), { code: 'STORE_FULL', cause: { code } });
    t.equal(open.have.has(3), false);
    t.same(await readPiece(open, 1), blob.piece(1));
    disk.heal();
    await writePieces(open, blob, all);
    await open.commit();
    t.same(await readWhole(open), blob.bytes);
    await store.close();
  }
});

await t.test(
  'an error of the disk reaches the caller with its cause, and nothing counts that failed',
  async (t) => {
    const { disk, store } = await boot();
    const failed = { code: 'STORE_FAILED', cause: { code: 'EIO' } };
    for (const operation of ['open', 'truncate'] as const) {
      disk.fail([operation], 'EIO');
      await t.rejects(store.create(blob.info), failed, operation);
      disk.heal();
      t.same(store.list(), []);
    }
    const open = await store.create(blob.info);
    await writePieces(open, blob, all.slice(1));
    disk.fail(['write', 'read', 'sync'], 'EIO');
    await t.rejects(writePieces(open, blob, [0]), failed);
    await t.rejects(readPiece(open, 1), failed);
    disk.heal();
    await writePieces(open, blob, [0]);
    for (const operation of ['sync', 'makeFolder', 'rename'] as const) {
      disk.fail([operation], 'EIO');
      await t.rejects(open.commit(), failed, operation);
      t.equal(open.complete, false);
      disk.heal();
    }
    await open.commit();
    t.same(await readWhole(open), blob.bytes);
    await open.close();
    disk.fail(['remove'], 'EIO');
    t.equal(await store.remove(blob.info.digest), true, 'a file that stays is only litter');
    disk.heal();
    t.same((await store.create(blob.info)).have.count, 0);
    await store.close();
    t.equal(disk.openFiles, 0);
  },
);

await t.test('a power cut takes only the pieces whose bytes had not reached the disk', async (t) => {
  const before = await boot();
  const open = await before.store.create(blob.info);
  await writePieces(open, blob, all.slice(0, 16));
  await settle();
  let write = 0;
  const disk = before.disk.crash(() => write++ % 3 === 0);
  const { store } = await boot({ disk, keyValue: before.keyValue.crash(Number.POSITIVE_INFINITY) });
  t.same(heldPieces(await reopened(store)), [0, 3, 6, 9, 12, 15]);
  await store.close();
  const none = before.disk.crash(() => false);
  const after = await boot({ disk: none, keyValue: before.keyValue.crash(Number.POSITIVE_INFINITY) });
  t.equal(await after.store.open(blob.info.digest), undefined, 'no piece, no blob');
  await after.store.close();
});

await t.test(
  'a partial blob that was closed in order survives a power cut and is not hashed again',
  async (t) => {
    const before = await boot();
    await writePieces(await before.store.create(blob.info), blob, [3, 4]);
    await before.store.close();
    const disk = before.disk.crash(() => false);
    const { store, keyValue, clock } = await boot({ disk, keyValue: before.keyValue.crash(0) });
    disk.fail(['read'], 'EIO');
    const open = await reopened(store);
    disk.heal();
    t.same(heldPieces(open), [3, 4]);
    t.same(await readPiece(open, 4), blob.piece(4));

    await writePieces(open, blob, [5]);
    clock.advanceToNext();
    await settle();
    const recorded = keyValue.crash(Number.POSITIVE_INFINITY);
    t.match(await recordedPieces(recorded), { marked: 3 });
    const torn = await boot({ disk: disk.crash(() => false), keyValue: recorded });
    t.same(heldPieces(await reopened(torn.store)), [3, 4]);
    await torn.store.close();
    await store.close();
  },
);

await t.test('what was removed, reset or dropped does not come back after a power cut', async (t) => {
  const gone = async ({ disk, keyValue }: Machine, how: string): Promise<void> => {
    const after = await boot({ disk: disk.crash(() => false), keyValue: keyValue.crash(0) });
    t.equal(await after.store.open(blob.info.digest), undefined, how);
    await after.store.close();
  };
  const removed = await boot();
  await (await storeWhole(removed.store, blob)).close();
  await removed.store.remove(blob.info.digest);
  await writePieces(await removed.store.create(blob.info), blob, [0]);
  await gone(removed, 'removed');

  const reset = await boot();
  await (await storeWhole(reset.store, blob)).reset();
  await gone(reset, 'reset');

  const first = await boot();
  await (await storeWhole(first.store, blob)).close();
  await first.store.close();
  const dropped = await boot({ disk: createMemoryDisk(), keyValue: first.keyValue.crash(0) });
  await writePieces(await dropped.store.create(blob.info), blob, [0]);
  await gone(dropped, 'dropped');
  t.match(await recordedPieces(dropped.keyValue.crash(0)), { marked: 0 });
});

await t.test('a committed blob survives a power cut, even one before its file is in place', async (t) => {
  for (const renamed of [true, false]) {
    const before = await boot();
    if (!renamed) before.disk.fail(['rename'], 'EIO');
    const committing = storeWhole(before.store, blob);
    if (renamed) await committing;
    else await t.rejects(committing, { code: 'STORE_FAILED' });
    const after = { disk: before.disk.crash(() => false), keyValue: before.keyValue.crash(0) };
    const { store } = await boot(after);
    const found = await reopened(store);
    t.equal(found.complete, true);
    t.same(await readWhole(found), blob.bytes);
    t.same(
      all.map((index) => found.proof(index)),
      blob.proofs,
    );
    await store.close();
  }
});

await t.test('a piece is recorded with its proof before it counts, and as held soon after', async (t) => {
  const { disk, keyValue, clock, store } = await boot();
  const open = await store.create(blob.info);
  // Nothing of it is worth a record yet.
  clock.advanceToNext(clock.now() + 250);
  await settle();
  await writePieces(open, blob, all.slice(0, 3));
  t.match(await recordedPieces(keyValue), { marked: 3 });
  const killed = { disk: disk.crash(), keyValue: keyValue.crash(Number.POSITIVE_INFINITY) };
  const after = await boot(killed);
  t.same(heldPieces(await reopened(after.store)), [0, 1, 2], 'a kill takes none of them');
  await after.store.close();
  t.equal(clock.advanceToNext(clock.now() + 250), true);
  await settle();
  t.same(await recordedPieces(keyValue), { marked: 3, held: 3 });
  await writePieces(open, blob, [3]);
  await open.close();
  t.same(await recordedPieces(keyValue), { marked: 4, held: 4 });
  await store.close();
  t.equal(clock.pending, 0, 'no timer outlives the store');
});

await t.test('pieces expected at once are recorded at once, and a kill takes none of them', async (t) => {
  const machine = await boot();
  let batches = 0;
  const counted: typeof machine.keyValue = {
    ...machine.keyValue,
    batch: (operations, options) => {
      batches++;
      return machine.keyValue.batch(operations, options);
    },
  };
  const { disk, store } = await boot({ ...machine, keyValue: counted });
  const open = await store.create(blob.info);
  const expected = all.slice(0, 5);
  for (const index of expected) open.expect(blob.proofs[index]!);
  await settle();
  t.equal(batches, 0, 'what never comes costs nothing');
  for (const index of expected.slice(0, 4)) await writePieces(open, blob, [index]);
  t.equal(batches, 1);
  const kill = (): Promise<Machine> =>
    boot({ disk: disk.crash(), keyValue: machine.keyValue.crash(Number.POSITIVE_INFINITY) });
  t.same(await recordedPieces(machine.keyValue), { marked: 5, held: 0 });
  const killed = await kill();
  t.same(heldPieces(await reopened(killed.store)), [0, 1, 2, 3], 'the last has not come');
  await killed.store.close();

  // By another proof than was expected.
  const other = { ...blob.proofs[4]!, generation: 'f'.repeat(16) };
  await open.write(other, blob.piece(4));
  t.equal(batches, 2);
  const again = await kill();
  t.same((await reopened(again.store)).proof(4), other);
  await again.store.close();

  open.expect({ ...blob.proofs[2]!, generation: 'e'.repeat(16) });
  t.same(open.proof(2), blob.proofs[2], 'a held piece keeps its own');
  t.throws(() => open.expect({ ...blob.proofs[0]!, index: 20 }), { code: 'STORE_FAILED' });
  t.throws(() => open.expect({ ...blob.proofs[0]!, index: 9, generation: 'x' }), { code: 'STORE_FAILED' });
  await open.reset();
  await writePieces(open, blob, [9]);
  t.match(await recordedPieces(machine.keyValue), { marked: 1 });
  await store.close();
});

await t.test(
  'a kill in the middle of writes: what is whole on disk is found again, the rest is not',
  async (t) => {
    const disk = createMemoryDisk();
    const never = new Promise<void>(() => {});
    const killed: Disk = {
      ...disk,
      async open(path) {
        const file = await disk.open(path);
        const write = async (bytes: Uint8Array, offset: number): Promise<void> => {
          const half = offset === 4 * 1024;
          await file.write(half ? bytes.subarray(0, 512) : bytes, offset);
          if (offset >= 4 * 1024) await never;
        };
        return { ...file, write };
      },
    };
    const before = await boot({ disk: { ...disk, ...killed } });
    const open = await before.store.create(blob.info);
    await writePieces(open, blob, [0, 1, 2]);
    for (const index of [4, 5]) void writePieces(open, blob, [index]);
    await settle();
    const records = before.keyValue.crash(Number.POSITIVE_INFINITY);
    t.same(await recordedPieces(records), { marked: 5, held: 3 });
    const { store } = await boot({ disk: disk.crash(), keyValue: records });
    const found = await reopened(store);
    t.same(heldPieces(found), [0, 1, 2, 5]);
    t.same(await readPiece(found, 5), blob.piece(5));
    t.same(found.proof(5), blob.proofs[5]);
    await store.close();
  },
);

await t.test('a blob is synced every 64 MiB, with the records of its pieces', async (t) => {
  const large = sampleBlob(5, 1024);
  const info = blobInfo(large.info.digest, 33 * 4 * MIB, 4 * MIB);
  const before = await boot();
  const open = await before.store.create(info);
  const bytes = new Uint8Array(4 * MIB).fill(7);
  const hash = new Uint8Array(pieceHash(bytes));
  for (let index = 0; index < 33; index++) {
    await open.write({ index, hash, generation: '0'.repeat(16), signature: new Uint8Array(0) }, bytes);
  }
  await settle();
  const { store } = await boot({ disk: before.disk.crash(() => false), keyValue: before.keyValue.crash(0) });
  const found = await store.open(info.digest);
  t.equal(found?.have.count, 32, 'what came after the last sync is gone with the power');
  await store.close();
  await before.store.close();
});

await t.test('records that cannot be written are written later; the pieces count meanwhile', async (t) => {
  const { disk, keyValue, clock, store } = await boot();
  const open = await store.create(blob.info);
  keyValue.failBatches('EIO');
  await writePieces(open, blob, all.slice(0, 18));
  for (let round = 0; round < 3; round++) {
    await settle();
    clock.advanceToNext();
  }
  t.same(await readPiece(open, 17), blob.piece(17));
  await open.close();
  const again = await reopened(store);
  t.same(again.proof(17), blob.proofs[17]);
  await t.rejects(store.close(), { code: 'STORE_FAILED' }, 'closing says that the last records are lost');
  keyValue.failBatches(undefined);
  await settle();
  t.equal(clock.pending, 0);

  const second = await boot({ disk, keyValue, clock });
  keyValue.failBatches('EIO');
  const more = await second.store.create(blob.info);
  await writePieces(more, blob, all.slice(0, 18));
  await settle();
  keyValue.failBatches(undefined);
  clock.advanceToNext();
  await settle();
  t.same(await recordedPieces(keyValue), { marked: 18, held: 18 });
  await second.store.close();
});

await t.test('a removal or reset that cannot be recorded fails, and no wrong byte follows', async (t) => {
  const { disk, keyValue, store } = await boot();
  await (await storeWhole(store, blob)).close();
  keyValue.failBatches('EIO');
  await t.rejects(store.remove(blob.info.digest), { code: 'STORE_FAILED' });
  const open = await reopened(store);
  t.same(await readWhole(open), blob.bytes, 'still here');
  await t.rejects(open.reset(), { code: 'STORE_FAILED' });
  const other = withProofs(blob.info, sampleBlob(2, blob.bytes.length).bytes, 2);
  await t.rejects(writePieces(open, other, [0]), { code: 'STORE_FAILED' }, 'the record still says complete');
  const crashed = await boot({ disk: disk.crash(), keyValue: keyValue.crash(Number.POSITIVE_INFINITY) });
  t.same(await readWhole(await reopened(crashed.store)), blob.bytes);
  await crashed.store.close();
  keyValue.failBatches(undefined);
  await Promise.all([writePieces(open, other, [0]), writePieces(open, other, [1])]);
  await open.close();
  t.same(heldPieces(await reopened(store)), [0, 1], 'the next piece has what came before it dropped first');
  await store.close();
});

await t.test('a full disk is recognised in the words of the record store too', async (t) => {
  const words = new Error('IO error: /store/records/000003.log: No space left on device');
  t.equal(storeError(words, 'record').code, 'STORE_FULL');
  t.equal(storeError(new Error('IO error: bad block'), 'record').code, 'STORE_FAILED');
  t.equal(storeError('text', 'record').code, 'STORE_FAILED');
});

await t.test('what records could not take while a blob was open is recorded once they can', async (t) => {
  const { clock, disk, keyValue, store } = await boot();
  const open = await store.create(blob.info);
  await writePieces(open, blob, [0]);
  await pass(clock, 1_000);
  keyValue.failBatches('EIO');
  await writePieces(open, blob, [1, 2]);
  await pass(clock, 5_000);
  await open.close();
  await pass(clock, 5_000);
  t.equal((await recordedPieces(keyValue)).held, 1);
  keyValue.failBatches(undefined);
  await pass(clock, 1_000);
  t.equal((await recordedPieces(keyValue)).held, 3, 'although nobody has come back to it');
  const killed = await boot({ disk: disk.crash(), keyValue: keyValue.crash(Number.POSITIVE_INFINITY) });
  t.equal(killed.store.get(blob.info.digest)?.bytes, store.get(blob.info.digest)?.bytes);
  await store.close();
});

import { constants } from 'node:fs';
import { open, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { openNodeBlobStore } from '../../lib/store/node-blob-store.ts';
import { blobPath, ingestPath } from '../../lib/store/path.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { boot, FOLDER, pass } from './machine.ts';
import { heldPieces, readPiece, readWhole, sampleBlob, storeWhole, writePieces } from './sample-blob.ts';

const blob = sampleBlob(1, 20 * 1024);
const { digest } = blob.info;
const all = [...blob.proofs.keys()];
const mismatch = { code: 'PIECE_MISMATCH' };

function openNode(t: Test, folder: string): Promise<BlobStore> {
  const deps = { log: silentLog(), clock: createSystemClock(), wallClockMs: () => Date.now(), folder };
  return openNodeBlobStore(deps).then((store) => {
    t.teardown(() => store.close());
    return store;
  });
}

/** Counts, from now on, the bytes that are read from files of this disk. */
function countReads(disk: MemoryDisk): { bytes: number } {
  const reads = { bytes: 0 };
  const openFile = disk.open.bind(disk);
  disk.open = async (path) => {
    const file = await openFile(path);
    const read = (into: Uint8Array, offset: number): Promise<number> => {
      reads.bytes += into.length;
      return file.read(into, offset);
    };
    return { ...file, read };
  };
  return reads;
}

async function flip(path: string, offset: number): Promise<void> {
  const file = await open(path, constants.O_RDWR);
  try {
    const byte = new Uint8Array(1);
    await file.read(byte, 0, 1, offset);
    await file.write(
      byte.map((value) => value ^ 0xff),
      0,
      1,
      offset,
    );
  } finally {
    await file.close();
  }
}

t.test(
  'a byte flipped on disk while the store is closed is never served; the piece is fetched again',
  async (t) => {
    const folder = t.testdir();
    const first = await openNode(t, folder);
    await (await storeWhole(first, blob)).close();
    await first.close();
    await flip(blobPath(folder, digest), 5 * 1024 + 17);

    const store = await openNode(t, folder);
    const lost: number[] = [];
    store.onLoss((_, index) => lost.push(index));
    const found = await store.open(digest);
    if (found === undefined) throw new Error('the blob is gone');
    t.equal(found.complete, true);
    t.same(await readPiece(found, 4), blob.piece(4), 'other pieces are served');
    await t.rejects(readPiece(found, 5), mismatch);
    t.same(lost, [5]);
    t.equal(found.complete, false);
    t.same(
      heldPieces(found),
      all.filter((index) => index !== 5),
    );
    await t.rejects(readPiece(found, 5), { code: 'STORE_FAILED' }, 'not here');
    await writePieces(found, blob, [5]);
    await found.commit();
    t.same(await readWhole(found), blob.bytes);
    await store.close();
    const third = await openNode(t, folder);
    t.same(await readWhole(await third.create(blob.info)), blob.bytes);
  },
);

t.test('case 55: a byte flipped while the blob is open and read is never served', async (t) => {
  const folder = t.testdir();
  const store = await openNode(t, folder);
  const whole = await storeWhole(store, blob);
  t.same(await readWhole(whole), blob.bytes, 'all of it was read and trusted');
  await flip(blobPath(folder, digest), 9 * 1024);
  await t.rejects(readWhole(whole), mismatch);
  t.equal(whole.have.has(9), false);
  t.same(await readPiece(whole, 10), blob.piece(10));

  const partial = sampleBlob(2, 20 * 1024);
  const other = await store.create(partial.info);
  await writePieces(other, partial, [0, 1, 2]);
  t.same(await readPiece(other, 1), partial.piece(1));
  await flip(ingestPath(folder, partial.info.digest), 1024);
  await t.rejects(readPiece(other, 1), mismatch, 'a partial blob too');
  t.same(heldPieces(other), [0, 2]);
});

t.test('a file that became shorter, or another one with the same name, gives no wrong byte', async (t) => {
  const folder = t.testdir();
  const first = await openNode(t, folder);
  const open = await storeWhole(first, blob);
  await writeFile(blobPath(folder, digest), blob.bytes.subarray(0, 3000), { flag: 'r+' });
  t.same(await readPiece(open, 0), blob.piece(0), 'the same bytes written again do no harm');
  await writeFile(blobPath(folder, digest), blob.bytes.subarray(0, 3000));
  await t.rejects(readPiece(open, 2), mismatch);
  t.same(await readPiece(open, 1), blob.piece(1));
  await first.close();
  const store = await openNode(t, folder);
  t.equal(await store.open(digest), undefined, 'a file of another size is not opened');
  await store.close();
});

t.test('each piece is hashed once after opening, and again only when the file has changed', async (t) => {
  const before = await boot();
  await (await storeWhole(before.store, blob)).close();
  await before.store.close();
  const { disk, keyValue } = before;
  const { store } = await boot({ disk, keyValue });
  const reads = countReads(disk);
  const readAll = async (): Promise<number> => {
    const found = await store.create(blob.info);
    reads.bytes = 0;
    for (const index of all) t.same(await readPiece(found, index), blob.piece(index));
    await found.close();
    return reads.bytes / blob.bytes.length;
  };
  t.equal(await readAll(), 2);
  t.equal(await readAll(), 1, 'closed and opened again, but not changed');
  disk.flip(blobPath(FOLDER, digest), 0);
  disk.flip(blobPath(FOLDER, digest), 0);
  t.equal(await readAll(), 2, 'changed and changed back');
  await store.close();
});

t.test('what becomes wrong while nothing says so is found by verify and by the scrub', async (t) => {
  const { clock, disk, store } = await boot({}, { scrubRate: 1024 });
  const lost: string[] = [];
  store.onLoss((info, index) => lost.push(`${info.digest} ${index}`));
  const second = sampleBlob(2, 8 * 1024);
  for (const each of [blob, second]) await (await storeWhole(store, each)).close();
  disk.flip(blobPath(FOLDER, digest), 7 * 1024 + 5, 'rot');
  t.same(await store.verify(digest), { pieces: 20, lost: 1 });
  t.same(await store.verify(digest), { pieces: 19, lost: 0 });
  t.equal(await store.verify(sampleBlob(3, 10).info.digest), undefined);
  t.same(lost.splice(0), [`${digest} 7`]);

  disk.flip(blobPath(FOLDER, second.info.digest), 3, 'rot');
  const reads = countReads(disk);
  await pass(clock, 60_000);
  reads.bytes = 0;
  await pass(clock, 10_000);
  t.ok(
    reads.bytes <= 11 * 1024 && reads.bytes >= 9 * 1024,
    `${reads.bytes} bytes in ten seconds at 1024 a second`,
  );
  await pass(clock, 30_000);
  t.same(lost, [`${second.info.digest} 0`]);
  t.match(store.get(second.info.digest), { complete: false, bytes: 7 * 1024 });
  await store.close();
  t.equal(clock.pending, 0);
});

t.test('the scrub goes on where it was, and gives way to a removal and to other piece sizes', async (t) => {
  const first = await boot({}, { scrubRate: 1024 });
  const samples = [1, 2, 3].map((seed) => sampleBlob(seed, 4 * 1024));
  samples.sort((a, b) => (a.info.digest < b.info.digest ? -1 : 1));
  for (const each of samples) await (await storeWhole(first.store, each)).close();
  await pass(first.clock, 60_000 + 5_000);
  await first.store.close();
  const { clock, disk, keyValue } = first;
  const [done, next] = samples;
  if (done === undefined || next === undefined) throw new Error('three samples');
  for (const each of samples) disk.flip(blobPath(FOLDER, each.info.digest), 0, 'rot');
  const { store } = await boot({ disk, keyValue, clock }, { scrubRate: 1024 });
  const lost: string[] = [];
  store.onLoss((info) => lost.push(info.digest));
  await pass(clock, 1000);
  t.same(lost, [next.info.digest], 'not again from the beginning');
  t.equal(await store.remove(next.info.digest), true);
  const other = await store.create({ ...done.info, pieceBytes: 2048, pieces: 2 });
  t.equal(other.have.count, 0);
  await store.close();
});

t.test('an export has nothing in common with the cache', async (t) => {
  const folder = t.testdir({ out: {} });
  const store = await openNode(t, join(folder, 'store'));
  await (await storeWhole(store, blob)).close();
  const path = join(folder, 'out', 'layer');
  await writeFile(path, 'what was there before');
  await store.export(digest, path);
  const cached = blobPath(join(folder, 'store'), digest);
  const [ours, theirs] = await Promise.all([stat(cached), stat(path)]);
  t.not(ours.ino, theirs.ino);
  t.equal(ours.nlink, 1);
  await flip(path, 0);
  t.same(await readWhole(await store.create(blob.info)), blob.bytes);

  await flip(cached, 6 * 1024);
  await t.rejects(store.export(digest, join(folder, 'out', 'wrong')), mismatch);
  await t.rejects(store.export(digest, join(folder, 'out', 'partial')), { code: 'BLOB_UNKNOWN' });
  await t.rejects(store.export(sampleBlob(9, 10).info.digest, path), { code: 'BLOB_UNKNOWN' });
  await t.rejects(stat(join(folder, 'out', 'wrong')));
  await t.rejects(stat(join(folder, 'out', 'wrong.part')), 'nothing is left of it');
});

import { mkdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { digestHex } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import { sameBytes } from '../../lib/core/proof.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { type BorrowedStore, containerdBlobs, openBorrowedBlobs } from '../../lib/store/borrowed-blobs.ts';
import { createMemoryDisk, type MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { layerStores } from '../../lib/store/layered-store.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { readingContract } from '../contract/reading-store.ts';
import { readPiece, readWhole, type SampleBlob, sampleBlob, storeWhole, writePieces } from './sample-blob.ts';

const FOLDER = '/theirs';
const SIZE = 700_001;
const SAMPLE = sampleBlob(7, SIZE, blobInfo(sampleBlob(7, SIZE).info.digest, SIZE).pieceBytes);
const { digest } = SAMPLE.info;
const PATH = pathOf(SAMPLE);

await t.test('borrowed, on the memory disk', (t) =>
  readingContract(t, async (_t, sample) => (await borrowedFrom(await diskWith(sample))).store),
);
await t.test('borrowed, on the node disk', (t) => readingContract(t, onMachine));
await t.test('borrowed, below an empty store of ours', (t) =>
  readingContract(t, async (_t, sample) => (await layered(await diskWith(sample))).store),
);
await t.test('our own, above nothing borrowed', (t) =>
  readingContract(t, async (_t, sample) => {
    const { store } = await layered(createMemoryDisk());
    await (await storeWhole(store, sample)).close();
    return store;
  }),
);

t.test(
  'a file that is not the blob of its name is refused before one byte, and read no second time',
  async (t) => {
    const disk = await diskWith(SAMPLE);
    disk.flip(PATH, SIZE - 1);
    const { store } = await borrowedFrom(disk);
    t.equal(await store.open(digest), undefined);
    t.equal(store.get(digest), undefined, 'nor is it announced any more');
    disk.fail(['read'], 'EIO');
    t.equal(await store.open(digest), undefined);
    disk.heal();
    disk.flip(PATH, SIZE - 1);
    const mended = await store.open(digest);
    t.equal(mended?.complete, true, 'a change of the file gives it another chance');
    await mended?.close();
    t.equal(disk.openFiles, 0);
  },
);

t.test('nothing is read before somebody asks, all of it once then', async (t) => {
  const disk = await diskWith(SAMPLE);
  disk.fail(['read', 'openToRead'], 'EIO');
  const { store } = await borrowedFrom(disk);
  t.equal(store.list().length, 1);
  disk.heal();
  const first = await store.open(digest);
  const proof = first?.proof(0);
  await first?.close();
  disk.fail(['read'], 'EIO');
  const second = await store.open(digest);
  t.same(second?.proof(0), proof, 'proofs are kept for as long as the file is the same');
  await second?.close();
});

for (const [what, change] of [
  ['changes', (disk: MemoryDisk) => disk.flip(PATH, 5)],
  ['changes in a piece that nobody reads now', (disk: MemoryDisk) => disk.flip(PATH, SIZE - 1)],
] as const) {
  t.test(`a blob whose file ${what} while it is open is gone as a whole`, async (t) => {
    const disk = await diskWith(SAMPLE);
    const { store } = await borrowedFrom(disk);
    const lost: number[] = [];
    store.onLoss((_info, index) => lost.push(index));
    const blob = await store.open(digest);
    if (blob === undefined) throw new Error('not here');
    change(disk);
    await t.rejects(readPiece(blob, 0), { code: 'PIECE_MISMATCH' });
    await t.rejects(readPiece(blob, 1), { code: 'PIECE_MISMATCH' });
    t.equal(blob.have.count, 0);
    t.equal(blob.complete, false);
    t.same(lost, [0], 'told once');
    await t.rejects(blob.write(SAMPLE.proofs[0] as never, SAMPLE.piece(0)), { code: 'STORE_READ_ONLY' });
    t.equal(await store.open(digest), undefined);
  });
}

t.test('what comes and goes is noticed, and nothing of it is ever written', async (t) => {
  const disk = createMemoryDisk();
  const { clock, store } = await borrowedFrom(disk);
  t.same(store.list(), []);
  await disk.writeText(join(FOLDER, 'not-a-digest'), 'x');
  await put(disk, SAMPLE);
  const early = await store.open(digest);
  t.ok(early, 'found at once by who asks');
  await early?.close();
  clock.advanceToNext(20_000);
  await new Promise(setImmediate);
  t.match(store.list(), [{ info: SAMPLE.info, borrowed: true }]);
  t.equal(await store.remove(digest), false);
  t.equal(await store.pin(digest), false);
  t.same(await store.gc(), { removed: [], freedBytes: 0 });
  t.ok(sameBytes(disk.bytesOf(PATH), SAMPLE.bytes));
  await t.rejects(store.create(sampleBlob(9, 3000).info), { code: 'STORE_READ_ONLY' });
  await disk.remove(PATH);
  t.equal(await store.open(digest), undefined);
  t.same(store.list(), []);
});

t.test('above it, our own store takes what is not whole there, and what was lost', async (t) => {
  const disk = await diskWith(SAMPLE);
  const { own, store } = await layered(disk);
  const lent = await store.create(SAMPLE.info);
  t.equal(lent.borrowed, true);
  t.same(own.list(), [], 'no copy is made');
  disk.flip(PATH, 0);
  await t.rejects(readWhole(lent), { code: 'PIECE_MISMATCH' });
  await lent.close();
  const ours = await store.create(SAMPLE.info);
  t.not(ours.borrowed, true);
  await writePieces(ours, SAMPLE, [0, 1]);
  t.equal((await store.open(digest))?.have.count, 2);
  disk.flip(PATH, 0);
  const again = await store.open(digest);
  t.equal(again?.borrowed, true, 'whole there is better than half here');
  await again?.close();
  await writePieces(ours, SAMPLE, [2]);
  await ours.commit();
  t.not((await store.open(digest))?.borrowed, true);
  t.equal(store.list().length, 1);
});

t.test('a borrowed store that fails does not fail ours', async (t) => {
  const disk = await diskWith(SAMPLE);
  const { store } = await layered(disk);
  disk.fail(['openToRead'], 'EIO');
  t.equal(await store.open(digest), undefined);
  const ours = await store.create(SAMPLE.info);
  await writePieces(ours, SAMPLE, [0]);
  t.equal(ours.have.count, 1);
  await ours.close();
});

t.test('on the node disk only plain files count, and each change of one is seen', async (t) => {
  const folder = containerdBlobs(t.testdir());
  await mkdir(folder, { recursive: true });
  const path = join(folder, digestHex(digest));
  const elsewhere = join(t.testdirName, 'elsewhere');
  await writeFile(elsewhere, SAMPLE.bytes);
  await symlink(elsewhere, path);
  const { store } = await borrowedOn(t, folder);
  await t.rejects(store.open(digest), { code: 'STORE_FAILED' }, 'a link may lead anywhere');
  await rm(path);
  await mkdir(path);
  t.equal(await store.open(digest), undefined);
  await rm(path, { recursive: true });
  for (const change of [
    () => truncate(path, SIZE - 1),
    () =>
      writeFile(
        path,
        SAMPLE.bytes.map((byte) => byte ^ 1),
      ),
    () => rm(path),
    () => utimes(path, 0, 0),
  ]) {
    await writeFile(path, SAMPLE.bytes);
    const blob = await store.open(digest);
    if (blob === undefined) throw new Error('not here');
    t.ok(sameBytes(await readPiece(blob, 0), SAMPLE.piece(0)));
    await change();
    await t.rejects(readPiece(blob, 0), { code: 'PIECE_MISMATCH' });
    await blob.close();
  }
  const out = join(t.testdirName, 'out');
  await store.export(digest, out);
  t.ok(sameBytes(await readFile(out), SAMPLE.bytes));
});

async function diskWith(sample: SampleBlob): Promise<MemoryDisk> {
  const disk = createMemoryDisk();
  await put(disk, sample);
  return disk;
}

async function put(disk: MemoryDisk, sample: SampleBlob): Promise<void> {
  const file = await disk.open(pathOf(sample));
  await file.write(sample.bytes, 0);
  await file.close();
}

function pathOf({ info }: SampleBlob): string {
  return join(FOLDER, digestHex(info.digest));
}

async function borrowedFrom(disk: MemoryDisk): Promise<{ store: BorrowedStore; clock: FakeClock }> {
  const clock = new FakeClock();
  const deps = { disk, clock, rng: createRng(1), log: silentLog(), folder: FOLDER };
  return { clock, store: await openBorrowedBlobs(deps) };
}

async function borrowedOn(t: Test, folder: string): Promise<{ store: BlobStore }> {
  const deps = { clock: new FakeClock(), rng: createRng(1), log: silentLog(), folder };
  const store = await openBorrowedBlobs({ ...deps, disk: createNodeDisk() });
  t.teardown(() => store.close());
  return { store };
}

async function onMachine(t: Test, sample: SampleBlob): Promise<BlobStore> {
  const folder = containerdBlobs(t.testdir());
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, digestHex(sample.info.digest)), sample.bytes, { mode: 0o400 });
  return (await borrowedOn(t, folder)).store;
}

async function layered(disk: MemoryDisk): Promise<{ own: BlobStore; store: BlobStore }> {
  const { clock, store: borrowed } = await borrowedFrom(disk);
  const log = silentLog();
  const keyValue = createMemoryKeyValue();
  const own = await openBlobStore({ disk, keyValue, log, clock, wallClockMs: () => 0, folder: '/ours' });
  return { own, store: layerStores(own, borrowed, log) };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { digestOf, pieceHash } from '../../lib/core/digest.ts';
import { sameBytes } from '../../lib/core/proof.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import type { Disk } from '../../lib/store/disk/disk.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { openNodeBlobStore } from '../../lib/store/node-blob-store.ts';
import { blobPath, ingestPath } from '../../lib/store/path.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { type StoreFolder, storeContract } from '../contract/store.ts';
import { heldPieces, readPiece, readWhole, sampleBlob, storeWhole, writePieces } from './sample-blob.ts';

/** Different instants of a blob's life: between pieces, and around a commit. */
const KILLS_AFTER_PIECES = [1, 39, 173, 300];

await t.test('node disk and level', (t) => storeContract(t, onMachine));
await t.test('memory disk and memory records', (t) => storeContract(t, inMemory));

function onMachine(t: Test): StoreFolder {
  const folder = t.testdir();
  let nowMs = 0;
  const deps = {
    log: silentLog(),
    clock: createSystemClock(),
    wallClockMs: () => nowMs,
    folder: join(folder, 'store'),
  };
  return {
    later: () => void nowMs++,
    async open(options) {
      const store = await openNodeBlobStore(deps, options);
      t.teardown(() => store.close());
      return store;
    },
  };
}

function inMemory(_t: Test): StoreFolder {
  const disk = createMemoryDisk();
  const keyValue = createMemoryKeyValue();
  let nowMs = 0;
  const deps = {
    disk,
    keyValue,
    log: silentLog(),
    clock: new FakeClock(),
    wallClockMs: () => nowMs,
    folder: '/store',
  };
  return { later: () => void nowMs++, open: (options) => openBlobStore(deps, options) };
}

async function openNode(t: Test, folder: string): Promise<BlobStore> {
  const deps = { log: silentLog(), clock: createSystemClock(), wallClockMs: () => Date.now(), folder };
  const store = await openNodeBlobStore(deps);
  t.teardown(() => store.close());
  return store;
}

await t.test(
  'a complete blob is a plain file named by its digest, a partial one lies apart and is sparse',
  async (t) => {
    const folder = t.testdir();
    const store = await openNode(t, folder);
    const sample = sampleBlob(1, 3000);
    const open = await store.create(sample.info);
    await writePieces(open, sample, [2]);
    t.equal((await readFile(ingestPath(folder, sample.info.digest))).length, 3000);
    await writePieces(open, sample, [0, 1]);
    await open.commit();
    const hex = sample.info.digest.slice('sha256:'.length);
    t.same(new Uint8Array(await readFile(join(folder, 'blobs/sha256', hex.slice(0, 2), hex))), sample.bytes);
    t.same(await readdir(join(folder, 'ingest')), []);
  },
);

await t.test('opening removes litter, and drops a blob whose file is gone or has another size', async (t) => {
  const folder = t.testdir();
  const first = await openNode(t, folder);
  const samples = [1, 2, 3].map((seed) => sampleBlob(seed, 3000));
  for (const sample of samples) await storeWhole(first, sample);
  const [gone, cut, kept] = samples.map((sample) => sample.info.digest);
  if (gone === undefined || cut === undefined || kept === undefined) throw new Error('three samples');
  await first.close();
  await writeFile(blobPath(folder, cut), 'short');
  await writeFile(blobPath(folder, gone), 'litter');
  await writeFile(join(folder, 'ingest', 'sha256-abc.part'), 'litter');
  await mkdir(join(folder, 'ingest', 'a-folder'));
  await mkdir(join(folder, 'blobs/sha256/zz'));
  await writeFile(join(folder, 'blobs/sha256/zz/litter'), 'litter');
  await writeFile(join(folder, 'blobs/not-a-folder'), 'litter');

  const store = await openNode(t, folder);
  t.equal(await store.open(cut), undefined, 'what is in a file is looked at when it is opened');
  t.equal(await store.open(gone), undefined);
  t.same(
    store.list().map(({ info }) => info.digest),
    [kept],
  );
  t.same(await readdir(join(folder, 'ingest')), ['a-folder'], 'what cannot be removed does no harm');
  t.same(await readdir(join(folder, 'blobs/sha256/zz')), []);
  t.same((await store.create(sampleBlob(1, 3000).info)).have.count, 0);
  await store.close();
});

await t.test('a file that disappears while the store runs makes its blob absent, not wrong', async (t) => {
  const folder = t.testdir();
  const store = await openNode(t, folder);
  const sample = sampleBlob(1, 3000);
  await (await storeWhole(store, sample)).close();
  await createNodeDisk().remove(blobPath(folder, sample.info.digest));
  t.equal(await store.open(sample.info.digest), undefined);
  const again = await storeWhole(store, sample);
  t.same(await readWhole(again), sample.bytes);
});

await t.test('one file stays open for each open blob, none without an opener', async (t) => {
  let openFiles = 0;
  const node = createNodeDisk();
  const disk: Disk = {
    ...node,
    async open(path) {
      const file = await node.open(path);
      openFiles++;
      return { ...file, close: () => file.close().finally(() => openFiles--) };
    },
  };
  const keyValue = createMemoryKeyValue();
  const deps = {
    disk,
    keyValue,
    log: silentLog(),
    clock: new FakeClock(),
    wallClockMs: () => 0,
    folder: t.testdir(),
  };
  const store = await openBlobStore(deps);
  const samples = Array.from({ length: 10 }, (_, seed) => sampleBlob(seed, 3000));
  const round = async (): Promise<void> => {
    const blobs = await Promise.all(samples.map((sample) => storeWhole(store, sample)));
    const more = await Promise.all(samples.map((sample) => store.open(sample.info.digest)));
    t.equal(openFiles, 10);
    for (const blob of [...blobs, ...more]) await blob?.close();
    t.equal(openFiles, 0);
  };
  await round();
  await round();
  for (const sample of samples) await store.remove(sample.info.digest);
  await store.create(sampleBlob(99, 3000).info);
  await store.close();
  t.equal(openFiles, 0);
});

for (const pieces of KILLS_AFTER_PIECES) {
  await t.test(
    `kill -9 after ${pieces} pieces leaves every piece written, and only right ones`,
    async (t) => {
      const folder = t.testdir();
      const main = join(import.meta.dirname, 'fixtures/write-until-killed.ts');
      const child = spawn(process.execPath, [main, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
      t.teardown(() => child.kill('SIGKILL'));
      const written = await killAfter(child, pieces);
      t.ok(written >= pieces, `the child was writing: ${written}, ${child.signalCode} ${child.exitCode}`);

      const store = await openNode(t, folder);
      let found = 0;
      for (const { info } of store.list()) {
        const blob = await store.open(info.digest);
        if (blob === undefined) continue;
        for (const index of heldPieces(blob)) {
          found++;
          const hash = pieceHash(await readPiece(blob, index));
          if (!sameBytes(hash, blob.proof(index)?.hash ?? new Uint8Array(0))) t.fail(`wrong piece ${index}`);
        }
        if (blob.complete) t.equal(digestOf(await readWhole(blob)), info.digest);
        await blob.close();
      }
      t.ok(found >= written, `${found} pieces survived of the ${written} that counted as written`);
    },
  );
}

/** @returns how many lines the child had printed when it was killed */
async function killAfter(child: ChildProcess, lines: number): Promise<number> {
  if (child.stdout === null) throw new Error('no output');
  let count = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line !== '' && ++count === lines) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return count;
}

import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { openNodeBlobStore } from '../../lib/store/node-blob-store.ts';
import { recordsFolder, versionPath } from '../../lib/store/path.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { claimFolder } from '../../lib/store/version.ts';
import { boot } from './machine.ts';
import {
  readWhole,
  type SampleBlob,
  sampleBlob,
  storeWhole,
  withProofs,
  writePieces,
} from './sample-blob.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

async function open(t: Test, folder: string): Promise<BlobStore> {
  const deps = { log: silentLog(), clock: createSystemClock(), wallClockMs: () => Date.now(), folder };
  const store = await openNodeBlobStore(deps);
  t.teardown(() => store.close());
  return store;
}

/** Runs the job on a small disk of its own. @returns false where we may not mount */
async function onSmallDisk(size: string, job: (path: string) => Promise<void>): Promise<boolean> {
  const path = await mkdtemp(join(tmpdir(), 'damselfly-disk-'));
  try {
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]).status !== 0) return false;
    try {
      await job(path);
    } finally {
      spawnSync('umount', ['-l', path]);
    }
    return true;
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

function largeBlob(seed: number, size: number): SampleBlob {
  const bytes = Buffer.alloc(size, `blob ${seed} `);
  return withProofs(blobInfo(digestOf(bytes), size, 256 * KIB), bytes, seed);
}

t.test('a folder of another version is refused, and nothing in it is touched', async (t) => {
  const folder = t.testdir();
  await (await open(t, folder)).close();
  t.equal(await readFile(versionPath(folder), 'utf8'), '2\n');
  await writeFile(versionPath(folder), '3\n');
  const refused = {
    code: 'STORE_VERSION',
    message: /layout 3, this one is 2.*migrate --to 2.*--data-dir/,
    facts: { found: '3' },
  };
  await t.rejects(open(t, folder), refused);
  t.equal(await readFile(versionPath(folder), 'utf8'), '3\n');
  await rm(versionPath(folder));
  await t.rejects(
    open(t, folder),
    { code: 'STORE_VERSION', facts: { found: '1' } },
    'before there were versions',
  );
  await rm(recordsFolder(folder), { recursive: true });
  await open(t, folder);
});

t.test('a second process on the same folder is refused by name', async (t) => {
  const folder = t.testdir();
  const first = await open(t, folder);
  const sample = sampleBlob(1, 3000);
  await storeWhole(first, sample);
  await t.rejects(open(t, folder), {
    code: 'STORE_LOCKED',
    message: /another process uses .*records.*--data-dir/,
  });
  const blob = await first.open(sample.info.digest);
  t.same(blob && (await readWhole(blob)), sample.bytes, 'the first is not disturbed');
});

t.test('a read-only disk is called that', async (t) => {
  const refused = { code: 'STORE_READ_ONLY', message: /--data-dir/ };
  const remount = (path: string, how: 'ro' | 'rw'): void =>
    void spawnSync('mount', ['-o', `remount,${how}`, path]);
  const mounted = await onSmallDisk('8m', async (path) => {
    await (await open(t, path)).close();
    remount(path, 'ro');
    await t.rejects(open(t, path), refused, 'with a store on it');
    remount(path, 'rw');
    await rm(recordsFolder(path), { recursive: true });
    await rm(versionPath(path));
    remount(path, 'ro');
    await t.rejects(open(t, path), refused, 'empty');
    await t.rejects(open(t, join(path, 'below')), refused, 'where not even the folder can be made');
  });
  if (!mounted) t.comment('no right to mount: the twin alone is tested');
  const disk = createMemoryDisk();
  disk.fail(['writeText'], 'EROFS');
  await t.rejects(claimFolder(disk, '/store'), { code: 'EROFS' });
  const machine = await boot();
  const sample = sampleBlob(1, 3000);
  const blob = await machine.store.create(sample.info);
  machine.disk.fail(['write'], 'EROFS');
  await t.rejects(writePieces(blob, sample, [0]), refused, 'a disk that becomes read-only');
  machine.disk.heal();
  await machine.store.close();
});

t.test(
  'on a small disk old blobs make room for new ones, and one that is too large is refused',
  async (t) => {
    const mounted = await onSmallDisk('12m', async (path) => {
      const store = await open(t, path);
      const samples = [1, 2, 3, 4].map((seed) => largeBlob(seed, 3 * MIB));
      for (const sample of samples) {
        const blob = await storeWhole(store, sample);
        t.equal(digestOf(await readWhole(blob)), sample.info.digest);
        await blob.close();
      }
      const left = samples.map(({ info }) => store.get(info.digest) !== undefined);
      t.match([left[0], left[3]], [false, true], 'the first had to go');
      await t.rejects(store.create({ ...sampleBlob(9, 4).info, size: 64 * MIB }), { code: 'STORE_FULL' });

      const late = largeBlob(7, 4 * MIB);
      const all = [...late.proofs.keys()];
      const blob = await store.create(late.info);
      await writePieces(blob, late, [0, 1]);
      const readers = await Promise.all(samples.map(({ info }) => store.open(info.digest)));
      // Somebody else takes all that is left, and would take more.
      await writeFile(join(path, 'others'), new Uint8Array(12 * MIB)).catch(() => {});
      await t.rejects(writePieces(blob, late, all), { code: 'STORE_FULL' });
      t.ok(blob.have.has(0) && blob.have.has(1), 'what was stored stays');
      for (const reader of readers) await reader?.close();
      await writePieces(blob, late, all);
      await blob.commit();
      t.equal(digestOf(await readWhole(blob)), late.info.digest, 'once others may go it goes on');
      await store.close();
      const again = await open(t, path);
      t.match(again.get(late.info.digest), { complete: true });
      await again.close();
    });
    if (!mounted) t.comment('no right to mount: the twin alone is tested (upkeep.test.ts)');
  },
);

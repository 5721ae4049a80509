import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { BlobStoreOptions } from '../../lib/store/blob-store.ts';
import { openVolumes } from '../../lib/store/node-blob-store.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { rankFolders } from '../../lib/store/volume-choice.ts';
import { joinVolumes } from '../../lib/store/volumes.ts';
import { storeContract } from '../contract/store.ts';
import { boot } from './machine.ts';
import { readWhole, sampleBlob, storeWhole } from './sample-blob.ts';

const deps = { log: silentLog(), clock: createSystemClock(), wallClockMs: () => Date.now() };
const digests = Array.from({ length: 10_000 }, (_, index) =>
  digestOf(new TextEncoder().encode(String(index))),
);

async function openAll(
  t: Test,
  folders: readonly string[],
  options: BlobStoreOptions = {},
): Promise<BlobStore> {
  const weighted = folders.map((folder, index) => ({ folder, weight: index + 1 }));
  const store = await openVolumes(deps, weighted, options);
  t.teardown(() => store.close());
  return store;
}

t.test(
  'each folder is first for its share of the digests, and one that comes moves only its own',
  async (t) => {
    const folders = [
      { folder: '/a', weight: 1 },
      { folder: '/b', weight: 2 },
      { folder: '/c', weight: 5 },
    ];
    const first = (digest: (typeof digests)[number], among = folders): string =>
      rankFolders(digest, among)[0]?.folder ?? '';
    for (const { folder, weight } of folders) {
      const share = digests.filter((digest) => first(digest) === folder).length / digests.length;
      t.ok(Math.abs(share - weight / 8) < 0.02, `${folder} has ${share}`);
    }
    const more = [...folders, { folder: '/d', weight: 2 }];
    const moved = digests.filter((digest) => first(digest) !== first(digest, more));
    t.ok(moved.every((digest) => first(digest, more) === '/d'));
    t.ok(Math.abs(moved.length / digests.length - 0.2) < 0.02);
    t.same(rankFolders(digests[0] ?? sampleBlob(0, 1).info.digest, more).length, 4, 'all of them are ranked');
  },
);

t.test('two volumes do what one does', (t) =>
  storeContract(t, (t) => {
    const folder = t.testdir();
    let nowMs = 0;
    return {
      later: () => void nowMs++,
      async open(options = {}) {
        const weighted = [
          { folder: join(folder, 'a'), weight: 1 },
          // So small a share that what the suite counts on one quota is on one volume.
          { folder: join(folder, 'b'), weight: 1e-30 },
        ];
        const store = await openVolumes({ ...deps, wallClockMs: () => nowMs }, weighted, options);
        t.teardown(() => store.close());
        return store;
      },
    };
  }),
);

t.test('a lost volume loses its blobs, and no others', async (t) => {
  const folder = t.testdir();
  const folders = ['a', 'b', 'c'].map((name) => join(folder, name));
  const samples = Array.from({ length: 24 }, (_, seed) => sampleBlob(seed, 1500));
  const first = await openAll(t, folders);
  for (const sample of samples) await (await storeWhole(first, sample)).close();
  await first.close();
  const lost = join(folder, 'b');
  const digestsIn = async (path: string): Promise<string[]> =>
    (await readdir(path, { recursive: true, withFileTypes: true }))
      .filter((each) => each.isFile() && each.name.length === 64)
      .map((each) => `sha256:${each.name}`);
  const gone = await digestsIn(lost);
  t.ok(gone.length > 0 && gone.length < 24);
  await rm(lost, { recursive: true });
  await writeFile(lost, 'a file: no folder can be made here');

  const store = await openAll(t, folders);
  for (const sample of samples) {
    const found = await store.open(sample.info.digest);
    t.equal(found === undefined, gone.includes(sample.info.digest));
    if (found !== undefined) t.same(await readWhole(found), sample.bytes);
    await found?.close();
  }
  for (const sample of samples) await (await storeWhole(store, sample)).close();
  t.equal(store.list().length, 24, 'what was lost finds room on the others');
  await store.close();

  await rm(lost);
  await mkdir(lost);
  const back = await openAll(t, folders);
  t.equal(back.list().length, 24, 'and stays there when the volume is back, empty');
  const [one] = gone;
  if (one === undefined) throw new Error('some were lost');
  const digest = one as (typeof samples)[number]['info']['digest'];
  t.equal(await back.pin(digest), true);
  t.match(back.get(digest), { pinned: true });
  t.match(await back.verify(digest), { lost: 0 });
  t.equal(await back.remove(digest), true);
  t.equal(back.get(digest), undefined);
});

t.test('with no volume left the start fails, and says why', async (t) => {
  const folder = t.testdir({ a: 'a file', b: 'a file' });
  await t.rejects(openAll(t, [join(folder, 'a'), join(folder, 'b')]), { code: 'STORE_FAILED' });
});

t.test('a volume that fails or is full while the store runs is passed over', async (t) => {
  const machines = [await boot(), await boot()];
  const volumes = machines.map(({ store }, index) => ({ store, folder: `/${index}`, weight: 1 }));
  const store = joinVolumes(volumes, silentLog());
  const samples = Array.from({ length: 8 }, (_, seed) => sampleBlob(seed, 2000));
  machines[0]?.disk.fail(['open'], 'EIO');
  for (const sample of samples.slice(0, 4)) await (await storeWhole(store, sample)).close();
  t.equal(machines[0]?.store.list().length, 0);
  machines[0]?.disk.heal();
  for (const sample of samples.slice(0, 4)) await store.pin(sample.info.digest);
  machines[1]?.disk.fillUpAfter(100);
  for (const sample of samples.slice(4)) await (await storeWhole(store, sample)).close();
  t.equal(machines[0]?.store.list().length, 4);
  machines[1]?.disk.heal();
  machines[1]?.disk.fail(['open'], 'EIO');
  const [first] = samples;
  if (first === undefined) throw new Error('samples');
  t.equal(await store.open(first.info.digest), undefined, 'as if it were not here');
  t.same(await readWhole(await storeWhole(store, first)), first.bytes);
  t.equal((await store.gc()).removed.length, 0);
  machines[1]?.disk.heal();
  await store.close();
});

t.test('the quota is shared by weight', async (t) => {
  const folder = t.testdir();
  const store = await openAll(t, [join(folder, 'a'), join(folder, 'b')], { maxBytes: 9000 });
  await t.rejects(store.create(sampleBlob(1, 6001).info), { code: 'STORE_FULL' });
  const blob = await storeWhole(store, sampleBlob(1, 6000));
  t.equal(blob.complete, true);
});

import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { migrateFolder } from '../../lib/store/layouts/migrate.ts';
import { openNodeBlobStore } from '../../lib/store/node-blob-store.ts';
import { blobKey, encodeBlobRecord } from '../../lib/store/record.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { PARTIAL, RECORDS, recordsOf, VERSION_FILE, WHOLE, writeLayout1 } from './layout-1.ts';
import { readWhole, sampleBlob, storeWhole } from './sample-blob.ts';

const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');

const open = (folder: string): Promise<BlobStore> =>
  openNodeBlobStore({ log: silentLog(), clock: createSystemClock(), wallClockMs: () => 2e12, folder });

async function migrate(folder: string, ...flags: string[]) {
  const { code, output } = await run(DFGET, ['store', 'migrate', '--json', '--data-dir', folder, ...flags]);
  return { code, output, report: JSON.parse(output || '{}') as Record<string, unknown> };
}

/** What the newer version finds must be what the older one had. */
async function holdsAll(t: Test, folder: string, usedAtMs = 1_700_000_000_000): Promise<void> {
  const store = await open(folder);
  t.match(store.get(WHOLE.digest), { complete: true, usedAtMs });
  const whole = await store.open(WHOLE.digest);
  t.equal(whole && Buffer.from(await readWhole(whole)).toString(), WHOLE.text);
  const partial = await store.open(PARTIAL.digest);
  t.same(
    [0, 1, 2, 3, 4, 5].filter((index) => partial?.have.has(index)),
    [1, 4],
  );
  const piece = Buffer.alloc(4);
  await partial?.read(16, piece);
  t.equal(piece.toString(), PARTIAL.text.slice(16, 20));
  t.match(partial?.proof(4), { generation: '00112233445566ff' });
  await whole?.close();
  await partial?.close();
  await store.close();
}

t.test('a data directory goes to this layout and back again; a dry run changes nothing', async (t) => {
  const folder = t.testdir();
  await writeLayout1(folder);
  await t.rejects(open(folder), {
    code: 'STORE_VERSION',
    message: /layout 1.*dfget store migrate --data-dir/,
  });

  const would = await migrate(folder, '--dry-run');
  const counted = { from: 1, to: 2, blobs: 2, bytes: WHOLE.text.length + 8, dropped: 0 };
  t.match(would, { code: 0, report: { ...counted, dryRun: true } }, would.output);
  t.same(await recordsOf(folder), RECORDS);
  t.notOk(existsSync(VERSION_FILE(folder)));

  t.match(await migrate(folder), { code: 0, report: { ...counted, dryRun: false } });
  t.equal(readFileSync(VERSION_FILE(folder), 'utf8'), '2\n');
  await holdsAll(t, folder);
  t.match(await migrate(folder), { code: 0, report: { from: 2, to: 2, blobs: 0 } }, 'again: nothing to do');

  t.match(await migrate(folder, '--to', '1'), { code: 0, report: { from: 2, to: 1, blobs: 2 } });
  const { [`blob/${WHOLE.digest}`]: whole, ...others } = await recordsOf(folder);
  t.ok(whole?.startsWith('0102040000000d'), 'when it was last used is another time');
  const known = Object.fromEntries(Object.entries(RECORDS).filter(([key]) => key !== `blob/${WHOLE.digest}`));
  t.same(Object.keys(others).sort(), Object.keys(known).sort());
  t.same(
    Object.entries(others).filter(([key]) => key.startsWith('piece/')),
    Object.entries(known)
      .filter(([key]) => key.startsWith('piece/'))
      .sort(),
    'each proof is as it was',
  );
  t.notOk(existsSync(VERSION_FILE(folder)));
  t.match(await migrate(folder), { code: 0, report: { blobs: 2 } });
  await holdsAll(t, folder, 2e12);
});

t.test(
  'root leaves everything to the user whose daemon has the directory',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const owner = 65534;
    const parent = mkdtempSync(join(tmpdir(), 'damselfly-owner-'));
    t.teardown(() => rmSync(parent, { recursive: true, force: true }));
    chmodSync(parent, 0o755);
    const folders = ['one', 'two'].map((name) => join(parent, name));
    const all = (folder: string): string[] => [
      folder,
      ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
    ];
    for (const folder of folders) {
      await writeLayout1(folder);
      for (const path of all(folder)) lchownSync(path, owner, owner);
    }
    const [one = '', two = ''] = folders;
    const { code, output } = await run(DFGET, ['store', 'migrate', '--data-dir', one, '--data-dir', two]);
    t.equal(code, 0, output);
    for (const folder of folders) {
      t.equal(readFileSync(VERSION_FILE(folder), 'utf8'), '2\n');
      t.same(
        all(folder).filter((path) => statSync(path).uid !== owner || statSync(path).gid !== owner),
        [],
      );
    }
  },
);

t.test('what is refused: a newer layout, no directory at all, one that is in use', async (t) => {
  const folder = t.testdir();
  t.match(await migrate(folder), { code: 1, output: /STORE_VERSION.*no data directory/ });
  const store = await open(folder);
  t.match(await migrate(folder, '--to', '1'), { code: 1, output: /STORE_LOCKED/ });
  await store.close();
  writeFileSync(VERSION_FILE(folder), '3\n');
  t.match(await migrate(folder), { code: 1, output: /STORE_VERSION.*layout 3.*knows 1, 2/ });
  t.equal(readFileSync(VERSION_FILE(folder), 'utf8'), '3\n');
  await t.rejects(open(folder), { code: 'STORE_VERSION', message: /dfget store migrate --to 2/ });
  writeFileSync(VERSION_FILE(folder), 'what\n');
  t.match(await migrate(folder), { code: 1, output: /STORE_VERSION/ });
  t.match(await migrate(folder, '--to', '0'), { code: 2, output: /CONFIG_INVALID/ });
});

t.test('a migration that is cut off anywhere goes on when it is run again', async (t) => {
  for (let batches = 0; batches < 4; batches++) {
    const folder = '/store';
    const disk = createMemoryDisk();
    const records = createMemoryKeyValue();
    await records.batch(
      Object.entries(RECORDS).map(([key, hex]) => ({ type: 'put', key, value: Buffer.from(hex, 'hex') })),
    );
    await disk.makeFolder(`${folder}/records`);
    const file = await disk.open(`${folder}/records/CURRENT`);
    await file.close();
    let left = batches;
    const cut = {
      ...{ get: records.get.bind(records), entries: records.entries.bind(records), close: async () => {} },
      batch: async (...args: Parameters<typeof records.batch>) => {
        if (left-- === 0) throw new Error('cut off');
        await records.batch(...args);
      },
    };
    const first = migrateFolder({ disk, folder, openRecords: async () => cut }, 2, { dryRun: false });
    if (batches < 3) await t.rejects(first, { message: 'cut off' });
    else t.match(await first, { blobs: 2 });
    const again = await migrateFolder({ disk, folder, openRecords: async () => records }, 2, {
      dryRun: false,
    });
    t.equal(again.blobs, Math.max(0, 2 - batches));
    t.equal(again.dropped, 0);
    t.equal(await disk.readText(`${folder}/version`), '2\n');
  }
});

t.test('a migration that is cut off in the middle can be taken back', async (t) => {
  const folder = '/store';
  const disk = createMemoryDisk();
  const records = Object.assign(createMemoryKeyValue(), { close: async () => {} });
  await records.batch(
    Object.entries(RECORDS).map(([key, hex]) => ({ type: 'put', key, value: Buffer.from(hex, 'hex') })),
  );
  const deps = { disk, folder, openRecords: async () => records };
  const versions = async () =>
    await Promise.all([WHOLE, PARTIAL].map(async ({ digest }) => (await records.get(`blob/${digest}`))?.[0]));
  await disk.makeFolder(folder);
  await disk.writeText(`${folder}/version`, '2\n');
  t.match(await migrateFolder(deps, 2, { dryRun: true }), { from: 2, to: 2, blobs: 2, dropped: 0 });
  t.same(await versions(), [1, 1]);
  t.match(await migrateFolder(deps, 2, { dryRun: false }), { from: 2, to: 2, blobs: 2, dropped: 0 });
  t.same(await versions(), [2, 2]);
  t.match(await migrateFolder(deps, 2, { dryRun: false }), { blobs: 0, dropped: 0 });
  t.equal(await disk.readText(`${folder}/version`), '2\n');
});

t.test('what the older layout has no place for is told, and dropped', async (t) => {
  const folder = t.testdir();
  const store = await open(folder);
  const sample = sampleBlob(1, 3000);
  await (await storeWhole(store, sample)).close();
  const named = { ...sample.info, digest: `url:${'a'.repeat(64)}` as typeof sample.info.digest };
  await (await store.create(named)).close();
  await store.close();
  const disk = createMemoryDisk();
  const keyValue = createMemoryKeyValue();
  const info = blobInfo(sample.info.digest, 8, 4);
  const value = encodeBlobRecord({
    ...{ info, complete: true, synced: true, pinned: true, usedAtMs: 1, heldBytes: 8, boot: 1 },
  });
  await keyValue.batch([{ type: 'put', key: blobKey(info.digest), value }]);
  await disk.makeFolder('/s');
  await disk.writeText('/s/version', '2\n');
  const report = await migrateFolder({ disk, folder: '/s', openRecords: async () => keyValue }, 1, {
    dryRun: false,
  });
  t.match(report, { blobs: 0, dropped: 1 }, 'a complete blob without its proofs');
  const back = await migrate(folder, '--to', '1');
  t.equal(back.code, 0, back.output);
  t.match(back.report, { blobs: 1 });
  t.match(await migrate(folder), { report: { blobs: 1, dropped: 0 } });
  const again = await open(folder);
  const blob = await again.open(sample.info.digest);
  t.same(blob && (await readWhole(blob)), sample.bytes);
  await blob?.close();
  await again.close();
});

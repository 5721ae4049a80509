import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** The last commit with layout 1 of the store. */
const LAYOUT_1 = '9a61703';
const there = spawnSync('git', ['-C', ROOT, 'cat-file', '-e', `${LAYOUT_1}^{commit}`]).status === 0;

/** Run by either version with its own store: keeps a blob, or reads it. */
const SCRIPT = `
import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { digestOf } from './lib/core/digest.ts';
import { blobInfo } from './lib/core/geometry.ts';
import { createSystemClock } from './lib/runtime/system-clock.ts';
import { openNodeBlobStore } from './lib/store/node-blob-store.ts';
const [, , act, folder] = process.argv;
const deps = { log: pino({ level: 'silent' }), clock: createSystemClock(), wallClockMs: Date.now, folder };
const store = await openNodeBlobStore(deps);
const bytes = Buffer.alloc(3_000_000, 'a blob ');
const info = blobInfo(digestOf(bytes), bytes.length, 65_536);
if (act === 'keep') {
  const blob = await store.create(info);
  for (let index = 0; index < info.pieces; index++) {
    const part = bytes.subarray(index * 65_536, (index + 1) * 65_536);
    const hash = createHash('sha256').update(part).digest();
    await blob.write({ index, hash, generation: '0011223344556677', signature: new Uint8Array(0) }, part);
  }
  await blob.commit();
  await blob.close();
} else {
  const blob = await store.open(info.digest);
  const into = Buffer.alloc(bytes.length);
  await blob?.read(0, into);
  console.log(blob?.complete === true && into.equals(bytes) ? 'whole' : 'not here');
  await blob?.close();
}
await store.close();
`;

t.test(
  'a store goes from the version before to this one, back, and forward again, and keeps its blob',
  { skip: there ? false : `no commit ${LAYOUT_1} in this checkout` },
  async (t) => {
    const older = mkdtempSync(join(tmpdir(), 'damselfly-older-'));
    t.teardown(() => rmSync(older, { recursive: true, force: true }));
    const archive = execFileSync('git', ['-C', ROOT, 'archive', LAYOUT_1, 'lib', 'package.json'], {
      maxBuffer: 64 * 1024 * 1024,
    });
    execFileSync('tar', ['-x', '-C', older], { input: archive });
    const newer = mkdtempSync(join(tmpdir(), 'damselfly-newer-'));
    t.teardown(() => rmSync(newer, { recursive: true, force: true }));
    symlinkSync(join(ROOT, 'lib'), join(newer, 'lib'));
    for (const checkout of [older, newer]) {
      symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
      writeFileSync(join(checkout, 'store.mts'), SCRIPT);
    }
    const folder = join(older, 'data');
    const use = async (checkout: string, act: string): Promise<string> =>
      (await run(process.execPath, [join(checkout, 'store.mts'), act, folder])).output.trim();
    const migrate = (...flags: string[]) =>
      run(join(ROOT, 'bin', 'dfget'), ['store', 'migrate', '--data-dir', folder, ...flags]);

    t.equal(await use(older, 'keep'), '');
    t.match(await use(newer, 'read'), /STORE_VERSION/);
    t.match(await migrate(), { code: 0, output: /went from layout 1 to 2: 1 blobs/ });
    t.equal(await use(newer, 'read'), 'whole');
    t.match(await migrate('--to', '1'), { code: 0, output: /went from layout 2 to 1: 1 blobs/ });
    t.equal(await use(older, 'read'), 'whole', 'rolled back');
    t.match(await migrate(), { code: 0 });
    t.equal(await use(newer, 'read'), 'whole', 'and forward again');
  },
);

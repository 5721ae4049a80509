import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { watchFile } from '../../lib/runtime/file-watch.ts';
import { systemFileStamp } from '../../lib/runtime/system-file-stamp.ts';

/** What was seen at each look, and after which of them a change was told. */
async function watch(looks: readonly (string | undefined)[]): Promise<number[]> {
  const clock = new FakeClock();
  let at = 0;
  const told: number[] = [];
  const stop = watchFile({ clock, stamp: async () => looks[at] }, '/f', () => told.push(at));
  for (at = 1; at < looks.length; at++) {
    clock.advanceToNext();
    await new Promise((resolve) => setImmediate(resolve));
  }
  stop();
  t.equal(clock.pending, 0);
  return told;
}

t.test('a change is told once, when it has stood for a second', async (t) => {
  t.same(await watch(['a', 'a', 'a', 'a']), []);
  t.same(await watch(['a', 'b', 'b', 'b', 'b']), [2]);
  t.same(await watch(['a', 'b', 'c', 'd', 'd', 'd']), [4], 'somebody is still writing');
  t.same(await watch(['a', 'b', 'a', 'a', 'a']), [], 'it was nothing');
  t.same(await watch([undefined, 'a', 'a', undefined, undefined]), [2, 4], 'it comes and goes');
});

t.test('a file is another one however it was changed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-watch-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'settings.yaml');
  const seen = new Set([await systemFileStamp(path)]);
  const changes: (() => void)[] = [
    () => writeFileSync(path, 'a: 1'),
    () => writeFileSync(path, 'a: 12'),
    () => {
      writeFileSync(`${path}.new`, 'a: 34');
      renameSync(`${path}.new`, path);
    },
    () => {
      writeFileSync(join(folder, 'target'), 'a: 34');
      rmSync(path);
      symlinkSync(join(folder, 'target'), path);
    },
    () => {
      writeFileSync(join(folder, 'other'), 'a: 34');
      symlinkSync(join(folder, 'other'), `${path}.new`);
      renameSync(`${path}.new`, path);
    },
  ];
  for (const change of changes) {
    change();
    seen.add(await systemFileStamp(path));
  }
  t.equal(seen.size, changes.length + 1);
});

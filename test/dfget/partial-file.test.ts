import { spawnSync } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PartialFile } from '../../dfget/file/partial-file.ts';

const HELLO = Buffer.from('hello ');
const WORLD = Buffer.from('world');

function folderOf(t: Test): { readonly folder: string; readonly target: string } {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-partial-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, target: join(folder, 'file') };
}

async function begun(target: string, key: string | undefined): Promise<void> {
  const file = await PartialFile.open(target, key);
  await file.append(HELLO);
  await file.giveUp(true);
}

/** Makes the beginning that of a process with another id. @returns its name */
function writtenBy(folder: string, pid: number): string {
  const [name = ''] = readdirSync(folder);
  const renamed = name.replace(/-\d+\./, `-${pid}.`);
  renameSync(join(folder, name), join(folder, renamed));
  return renamed;
}

/** Of a process that has ended. */
function oldPid(): number {
  return spawnSync('true').pid;
}

t.test('what is whole takes its name, and what was begun before goes', async (t) => {
  const { folder, target } = folderOf(t);
  writeFileSync(target, 'older');
  await begun(target, 'another version');
  const file = await PartialFile.open(target, 'key');
  await file.append(HELLO);
  await file.append(WORLD);
  t.equal(readFileSync(target, 'utf8'), 'older', 'until then nothing changes');
  await file.finish();
  t.equal(readFileSync(target, 'utf8'), 'hello world');
  t.same(readdirSync(folder), ['file']);
});

t.test('a beginning is found by its key, whoever began it', async (t) => {
  const { folder, target } = folderOf(t);
  await begun(target, 'key');
  writtenBy(folder, oldPid());
  t.equal((await PartialFile.open(target, 'other key')).bytes, 0);
  const file = await PartialFile.open(target, 'key');
  t.equal(file.bytes, HELLO.length);
  const held: Buffer[] = [];
  for await (const chunk of file.held()) held.push(Buffer.from(chunk));
  t.same(Buffer.concat(held), HELLO);
  await file.append(WORLD);
  await file.finish();
  t.equal(readFileSync(target, 'utf8'), 'hello world');
});

t.test('one that a process still writes is left to it', async (t) => {
  const { folder, target } = folderOf(t);
  await begun(target, 'key');
  const theirs = writtenBy(folder, 1);
  const file = await PartialFile.open(target, 'key');
  t.equal(file.bytes, 0);
  await file.append(WORLD);
  await file.finish();
  t.same(readdirSync(folder).sort(), [theirs, 'file'].sort());
  t.equal(readFileSync(join(folder, theirs), 'utf8'), 'hello ');
});

t.test('nothing is kept without a key, or of what is of no use', async (t) => {
  const { folder, target } = folderOf(t);
  await begun(target, undefined);
  const file = await PartialFile.open(target, 'key');
  await file.append(HELLO);
  await file.giveUp(false);
  t.same(readdirSync(folder), []);
});

t.test('a beginning from before the machine was started is begun anew', async (t) => {
  const { folder, target } = folderOf(t);
  await begun(target, 'key');
  const [name = ''] = readdirSync(folder);
  utimesSync(join(folder, name), 1000, 1000);
  const file = await PartialFile.open(target, 'key');
  t.equal(file.bytes, 0);
  await file.giveUp(false);
});

t.test('a link that somebody put in the place is not followed', async (t) => {
  const { folder, target } = folderOf(t);
  await begun(target, 'key');
  const [name = ''] = readdirSync(folder);
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'precious');
  rmSync(join(folder, name));
  symlinkSync(victim, join(folder, name));
  const file = await PartialFile.open(target, 'key');
  await file.append(HELLO);
  await file.finish();
  t.equal(readFileSync(victim, 'utf8'), 'precious');
  t.equal(readFileSync(target, 'utf8'), 'hello ');
});

t.test('a folder that is not there', (t) =>
  t.rejects(PartialFile.open('/nowhere/file', 'key'), { code: 'FILE_FAILED' }),
);

import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type CommandResult, jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { DFGET, doneOf, type FileGround, startFileGround } from '../helpers/file-ground.ts';

const MIB = 1024 * 1024;

let files: FileGround['files'];
let folder: string;
let get: FileGround['get'];
let ground: FileGround['ground'];
let serve: FileGround['serve'];

t.before(async () => {
  ({ files, folder, get, ground, serve } = await startFileGround(t));
});

t.test('what has come of a file that was interrupted is used by the next attempt', async (t) => {
  const bytes = randomBytes(4 * MIB);
  for (const flags of [[], ['--digest', digestOf(bytes)]]) {
    const path = serve(bytes);
    const place = await mkdtemp(join(folder, 'resume-'));
    const output = join(place, 'file');
    const attempt = async (...more: string[]): Promise<CommandResult> =>
      await run(DFGET, [
        `${files.url}${path}`,
        ...['-o', output, '--json', '--pattern', 'source'],
        ...more,
        ...flags,
      ]);
    const first = await attempt('--locallimit', '1MiB/s', '--timeout', '1s');
    t.equal(first.code, 1, first.output);
    const [beginning = ''] = await readdir(place);
    t.match(beginning, /^\.file\.[0-9a-f]{16}-\d+\.partial$/);
    const { length } = await readFile(join(place, beginning));
    t.ok(length > 0 && length < bytes.length, `${length} bytes`);
    const second = await attempt();
    t.match(doneOf(second), { bytes: bytes.length, resumed: length }, second.output);
    t.ok((await readFile(output)).equals(bytes));
    t.same(await readdir(place), ['file']);
    t.equal(files.seen.at(-1)?.headers.range, `bytes=${length}-`);
  }
});

t.test('a beginning from the swarm is used as well', async (t) => {
  const bytes = randomBytes(4 * MIB);
  const path = serve(bytes);
  const place = await mkdtemp(join(folder, 'swarm-'));
  const words = ['-o', join(place, 'file'), '--json', '--socket', ground.socket, `${files.url}${path}`];
  const first = await run(DFGET, [...words, '--locallimit', '1MiB/s', '--timeout', '1s']);
  t.equal(first.code, 1, first.output);
  const second = await run(DFGET, words);
  t.match(doneOf(second), { from: 'swarm', bytes: bytes.length }, second.output);
  t.ok(doneOf(second).resumed > 0);
  t.ok((await readFile(join(place, 'file'))).equals(bytes));
});

t.test('a daemon that is killed in the middle costs nothing that has come', async (t) => {
  const bytes = randomBytes(6 * MIB);
  const path = serve(bytes);
  const place = await mkdtemp(join(folder, 'killed-'));
  const socket = join(place, 'socket');
  const anywhere = ['--proxy-listen', '--peer-listen', '--admin-listen'].flatMap((flag) => [
    flag,
    '127.0.0.1:0',
  ]);
  const daemon = await startChild({
    command: DFGET,
    args: [
      ...['daemon', '--insecure', '--json', '--data-dir', join(place, 'data'), '--socket', socket],
      ...['--upstream', `${files.host}=${files.url}`, ...anywhere],
    ],
    logFile: join(place, 'daemon.log'),
    ready: jsonReady('daemon'),
  });
  t.teardown(() => daemon.stop());
  const output = join(place, 'file');
  const words = [`${files.url}${path}`, '-o', output, '--json', '--socket', socket];
  const running = run(DFGET, [...words, '--locallimit', '2MiB/s']);
  const deadline = AbortSignal.timeout(20_000);
  while (!(await hasBeginning(place, MIB))) deadline.throwIfAborted();
  await daemon.kill('SIGKILL');
  const ended = await running;
  t.match(doneOf(ended), { from: 'source', reason: 3, bytes: bytes.length }, ended.output);
  t.ok(doneOf(ended).resumed >= MIB);
  t.ok((await readFile(output)).equals(bytes));
});

/** Whether so much of a file is there, under the name of a beginning. */
async function hasBeginning(place: string, bytes: number): Promise<boolean> {
  const name = (await readdir(place)).find((each) => each.endsWith('.partial'));
  return name !== undefined && (await stat(join(place, name))).size >= bytes;
}

t.test('two that write the same file at once do not disturb each other', async (t) => {
  const bytes = randomBytes(3 * MIB);
  const path = serve(bytes);
  const place = await mkdtemp(join(folder, 'twice-'));
  const words = ['-o', join(place, 'file'), '--pattern', 'source', `${files.url}${path}`];
  const wrong = ['--digest', digestOf(Buffer.from('other'))];
  const [right, other] = await Promise.all([
    run(DFGET, [...words, '--locallimit', '3MiB/s']),
    run(DFGET, [...words, ...wrong, '--locallimit', '6MiB/s']),
  ]);
  t.same([right.code, other.code], [0, 1], right.output + other.output);
  t.ok((await readFile(join(place, 'file'))).equals(bytes));
  t.same(await readdir(place), ['file']);
});

t.test('a beginning that was changed is noticed by the digest', async (t) => {
  const bytes = randomBytes(2 * MIB);
  const path = serve(bytes);
  const place = await mkdtemp(join(folder, 'changed-'));
  const output = join(place, 'file');
  const attempt = async (...more: string[]): Promise<CommandResult> =>
    await run(DFGET, [
      `${files.url}${path}`,
      ...['-o', output, '--json', '--pattern', 'source', '--digest', digestOf(bytes)],
      ...more,
    ]);
  await attempt('--locallimit', '500KiB/s', '--timeout', '1s');
  const [beginning = ''] = await readdir(place);
  await writeFile(join(place, beginning), Buffer.alloc(1000));
  const second = await attempt();
  t.equal(second.code, 0, second.output);
  t.ok((await readFile(output)).equals(bytes));
});

t.test('a source that breaks off is asked for the rest', async (t) => {
  const bytes = randomBytes(3 * MIB);
  for (const flags of [['--pattern', 'source'], []]) {
    const path = serve(bytes, { cutAfter: MIB });
    const { code, done, output, said } = await get(path, ...flags);
    t.equal(code, 0, said);
    t.ok((await readFile(output)).equals(bytes));
    if (flags.length > 0) t.match(done, { from: 'source' });
  }
});

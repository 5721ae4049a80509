import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type CommandResult, jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { createDaemonClient } from '../../dfget/daemon-client.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { type Ground, startGround } from '../conformance/ground.ts';
import { type FileServer, startFileServer } from '../helpers/file-server.ts';

const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
const NEVER = new AbortController().signal;

let files: FileServer;
let elsewhere: FileServer;
let ground: Ground;
let folder: string;
let made = 0;

t.before(async () => {
  files = await startFileServer();
  elsewhere = await startFileServer();
  ground = await startGround({ upstreams: { [files.host]: files.url } });
  folder = await mkdtemp(join(tmpdir(), 'damselfly-get-'));
});
t.teardown(async () => {
  await ground?.close();
  await files?.close();
  await elsewhere?.close();
  await rm(folder, { recursive: true, force: true });
});
t.afterEach(() => {
  files.script = undefined;
});

/** A file that no other test uses. @returns its path on the server */
function serve(bytes: Buffer, more: Partial<Parameters<FileServer['files']['set']>[1]> = {}): string {
  const path = `/f${++made}/data.bin`;
  files.files.set(path, { bytes, etag: `"${made}"`, ...more });
  return path;
}

interface Done {
  readonly from: string;
  readonly reason: number;
  readonly bytes: number;
  readonly resumed: number;
}

/** `dfget URL` of a path on the server, with an empty folder to write to. */
async function get(path: string, ...flags: string[]) {
  const place = await mkdtemp(join(folder, 'to-'));
  const output = join(place, 'file');
  const ended = await run(DFGET, [
    `${files.url}${path}`,
    ...['-o', output, '--socket', ground.socket, '--json'],
    ...flags,
  ]);
  const { code, output: said, stdout } = ended;
  return { code, said, stdout, output, place, done: doneOf(ended) };
}

function doneOf({ stdout }: CommandResult): Done {
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Done;
}

t.test('a file comes through the swarm: its source sends each byte once for all nodes', async (t) => {
  const bytes = randomBytes(5 * MIB + 12_345);
  const path = serve(bytes);
  const first = await get(path);
  t.equal(first.code, 0, first.said);
  t.match(first.done, { from: 'swarm', reason: 0, bytes: bytes.length });
  t.ok((await readFile(first.output)).equals(bytes));
  t.same(await readdir(first.place), ['file'], 'and nothing beside it');
  const second = await get(path, '--socket', await ground.anotherNode());
  t.match(second.done, { from: 'swarm' }, second.said);
  t.ok((await readFile(second.output)).equals(bytes));
  t.equal(files.sent(path), bytes.length + 2, 'and one byte for each question');
});

t.test('small and empty files come as well', async (t) => {
  for (const bytes of [Buffer.from('a few words'), Buffer.alloc(0)]) {
    const path = serve(bytes);
    const { code, done, output, said } = await get(path);
    t.equal(code, 0, said);
    t.match(done, { from: 'swarm', bytes: bytes.length });
    t.ok((await readFile(output)).equals(bytes));
  }
});

t.test('a file that has changed at its source is another file', async (t) => {
  const path = serve(randomBytes(MIB));
  await get(path);
  const bytes = randomBytes(MIB);
  files.files.set(path, { bytes, etag: '"later"' });
  const { done, output } = await get(path);
  t.match(done, { from: 'swarm' });
  t.ok((await readFile(output)).equals(bytes));
});

t.test('who shows the source nothing that it accepts gets nothing, whatever the node has', async (t) => {
  const bytes = randomBytes(MIB);
  const path = serve(bytes, { readers: ['Bearer right', 'Bearer other'] });
  const allowed = await get(path, '-H', 'Authorization: Bearer right');
  t.match(allowed.done, { from: 'swarm' }, allowed.said);
  t.ok((await readFile(allowed.output)).equals(bytes));
  const sent = files.sent(path);
  for (const flags of [[], ['-H', 'Authorization: Bearer wrong'], ['--digest', digestOf(bytes)]]) {
    const refused = await get(path, ...flags);
    t.equal(refused.code, 1);
    t.match(refused.stdout, /UPSTREAM_REFUSED/);
    t.same(await readdir(refused.place), []);
  }
  const other = await get(path, '-H', 'Authorization: Bearer other');
  t.match(other.done, { from: 'swarm' });
  t.equal(files.sent(path), sent + 1, 'who is allowed gets what the node has');
  t.notMatch(ground.log(), /Bearer right|QmVhcmVy/, 'and nothing of it is logged');
});

t.test('a digest opens no file that was fetched with credentials', async (t) => {
  const bytes = randomBytes(MIB);
  const digest = digestOf(bytes);
  const secret = serve(bytes, { readers: ['Bearer right'] });
  await get(secret, '-H', 'Authorization: Bearer right', '--digest', digest);
  const open = serve(randomBytes(MIB));
  const { code, place, stdout } = await get(open, '--digest', digest);
  t.equal(code, 1);
  t.match(stdout, /DIGEST_MISMATCH/);
  t.same(await readdir(place), []);
});

t.test('headers are for the source alone, and not for where it sends us', async (t) => {
  const bytes = randomBytes(MIB);
  const path = serve(bytes);
  elsewhere.files.set('/stored', { bytes, etag: '"stored"' });
  files.script = (request, response) => {
    if (request.url !== path) return false;
    response.writeHead(302, { location: `${elsewhere.url}/stored` }).end();
    return true;
  };
  const headers = ['-H', 'X-Api-Key: secret', '-H', 'Authorization: Bearer right'];
  for (const more of [[], ['--pattern', 'source']]) {
    const { code, output, said } = await get(path, ...headers, ...more);
    t.equal(code, 0, said);
    t.ok((await readFile(output)).equals(bytes));
  }
  t.ok(files.seen.some((each) => each.headers['x-api-key'] === 'secret'));
  t.ok(elsewhere.seen.length > 1);
  for (const seen of elsewhere.seen) {
    t.same([seen.headers['x-api-key'], seen.headers.authorization], [undefined, undefined]);
  }
});

t.test('a redirect to a link-local address is not followed', async (t) => {
  const path = serve(randomBytes(10));
  files.script = (_request, response) => {
    response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end();
    return true;
  };
  for (const more of [[], ['--pattern', 'source']]) {
    const { code, stdout } = await get(path, ...more);
    t.equal(code, 1);
    t.match(stdout, /UPSTREAM_BROKEN/);
  }
});

t.test('parameters that are filtered do not tell files apart, and still reach the source', async (t) => {
  const bytes = randomBytes(2 * MIB);
  const path = serve(bytes);
  const filter = ['--filter', 'Signature&Expires'];
  const first = await get(`${path}?v=1&Signature=one`, ...filter);
  const second = await get(`${path}?v=1&Expires=5&Signature=two`, ...filter);
  t.match([first.done.from, second.done.from], ['swarm', 'swarm'], first.said + second.said);
  t.equal(files.sent(path), bytes.length + 2);
  const asked = files.seen.map(({ url }) => url).filter((url) => url.startsWith(path));
  t.same(new Set(asked), new Set([`${path}?v=1&Signature=one`, `${path}?v=1&Expires=5&Signature=two`]));
  const third = await get(`${path}?v=2&Signature=one`, ...filter);
  t.match(third.done, { from: 'swarm' });
  t.equal(files.sent(path), 2 * bytes.length + 3, 'another parameter tells them apart');
  await get(`${path}?v=2&Signature=one`, ...filter, '--identifier', 'nightly');
  t.equal(files.sent(path), 3 * bytes.length + 4, 'so does an identifier');
});

t.test('a digest is checked; one that does not match leaves no file', async (t) => {
  const bytes = randomBytes(MIB + 1);
  const path = serve(bytes);
  const md5 = (await run('md5sum', [await onDisk(bytes)])).stdout.slice(0, 32);
  for (const flags of [
    ['--digest', digestOf(bytes)],
    ['--digest', digestOf(bytes, 'sha512')],
    ['--md5', md5],
  ]) {
    const { code, done, output, said } = await get(path, ...flags);
    t.equal(code, 0, said);
    t.match(done, { from: 'swarm' });
    t.ok((await readFile(output)).equals(bytes));
  }
  for (const flags of [
    ['--digest', digestOf(Buffer.from('other'))],
    ['--md5', '0'.repeat(32)],
    ['--digest', digestOf(Buffer.from('more'), 'sha512'), '--pattern', 'source'],
  ]) {
    const { code, place, stdout } = await get(path, ...flags);
    t.equal(code, 1);
    t.match(stdout, /DIGEST_MISMATCH/);
    t.same(await readdir(place), [], flags.join(' '));
  }
  t.equal((await get(path, '--digest', 'sha256:abc')).code, 2, 'not a digest at all');
});

async function onDisk(bytes: Buffer): Promise<string> {
  const path = join(await mkdtemp(join(folder, 'md5-')), 'bytes');
  await writeFile(path, bytes);
  return path;
}

t.test('by its digest a file that anybody may read is one file, wherever it is', async (t) => {
  const bytes = randomBytes(MIB);
  const [here, there] = [serve(bytes), serve(bytes)];
  await get(here, '--digest', digestOf(bytes));
  const { done } = await get(there, '--digest', digestOf(bytes));
  t.match(done, { from: 'swarm' });
  t.equal(files.sent(there), 1);
});

t.test('what the swarm cannot have comes straight from the source, and that is said', async (t) => {
  const bytes = randomBytes(300_000);
  elsewhere.files.set('/x', { bytes, etag: '"x"' });
  const cases = [
    { name: 'no ETag', path: serve(bytes, { etag: undefined }), flags: [], reason: 1 },
    { name: 'a weak ETag', path: serve(bytes, { etag: 'W/"1"' }), flags: [], reason: 1 },
    { name: 'no size', path: serve(bytes, { sized: false, ranges: false }), flags: [], reason: 1 },
    { name: 'no daemon', path: serve(bytes), flags: ['--socket', '/nowhere'], reason: 5 },
    { name: 'as asked', path: serve(bytes), flags: ['--pattern', 'source'], reason: 100 },
  ] as const;
  for (const { flags, name, path, reason } of cases) {
    const { code, done, output, said, stdout } = await get(path, ...flags);
    t.equal(code, 0, `${name}: ${said}`);
    t.match(done, { from: 'source', reason }, name);
    t.match(stdout, /"event":"direct"/, name);
    t.ok((await readFile(output)).equals(bytes));
    if (reason === 100) continue;
    const only = await get(path, ...flags, '--notbs');
    t.equal(only.code, 1, `${name}, --notbs`);
    t.same(await readdir(only.place), []);
  }
});

t.test('the daemon asks no host that is not an upstream', async (t) => {
  elsewhere.files.set('/y', { bytes: randomBytes(10), etag: '"y"' });
  const before = elsewhere.seen.length;
  const client = createDaemonClient(ground.socket);
  t.teardown(() => client.close());
  const urls = [`${elsewhere.url}/y`, 'http://169.254.169.254/latest', 'http://[::1]:9/x', 'http://0x7f.1/x'];
  for (const url of urls) await t.rejects(client.findFile({ url }, NEVER), { code: 'UPSTREAM_UNKNOWN' });
  await t.rejects(client.findFile({ url: 'file:///etc/passwd' }, NEVER), { code: 'CONFIG_INVALID' });
  await t.rejects(client.findFile({ url: `${files.url}/x`, headers: { host: 'other' } }, NEVER), {
    code: 'CONFIG_INVALID',
  });
  t.equal(elsewhere.seen.length, before);
});

t.test('Last-Modified and size are enough to know a file by', async (t) => {
  const lastModified = 'Sat, 01 Nov 2025 10:00:00 GMT';
  const path = serve(randomBytes(MIB), { etag: undefined, lastModified });
  t.match((await get(path)).done, { from: 'swarm' });
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

t.test("Dragonfly's closing line", async (t) => {
  const bytes = randomBytes(1000);
  const path = serve(bytes);
  const line = async (...words: string[]): Promise<string> =>
    (await run(DFGET, [...words, '--showbar'])).stdout.trim().split('\n').at(-1) ?? '';
  const output = join(folder, 'shown');
  const words = ['-u', `${files.url}${path}`, '-o', output];
  t.match(
    await line(...words, '--socket', ground.socket),
    /^download SUCCESS\(0\) cost:\d+\.\d{3}s length:1000 reason:0$/,
  );
  t.match(await line(...words, '-p', 'source'), /^download SUCCESS\(0\) .* length:1000 reason:100$/);
  t.match(
    await line('-u', `${files.url}/none`, '-o', output, '--socket', ground.socket),
    /^download FAIL\(1\) /,
  );
});

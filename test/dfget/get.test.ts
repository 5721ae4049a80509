import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { createDaemonClient } from '../../dfget/daemon-client.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { DFGET, type FileGround, startFileGround } from '../helpers/file-ground.ts';
import { type FileServer, startFileServer } from '../helpers/file-server.ts';

const MIB = 1024 * 1024;
const NEVER = new AbortController().signal;

let elsewhere: FileServer;
let files: FileServer;
let folder: string;
let get: FileGround['get'];
let ground: FileGround['ground'];
let serve: FileGround['serve'];

t.before(async () => {
  ({ files, folder, get, ground, serve } = await startFileGround(t));
  elsewhere = await startFileServer();
  t.teardown(() => elsewhere.close());
});
t.afterEach(() => {
  files.script = undefined;
});

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
    /^download FAIL\(1104\) cost:\S+ length:0 reason:10 error:UPSTREAM_REFUSED/,
  );
  const wrong = ['--md5', '0'.repeat(32), '--socket', ground.socket];
  t.match(await line(...words, ...wrong), /^download FAIL\(1104\) .* reason:2 error:DIGEST_MISMATCH/);
  t.match(
    await line(...words, '--notbs', '--socket', join(folder, 'nobody.sock')),
    /^download FAIL\(1103\) .* reason:1005 error:DAEMON_UNREACHABLE/,
  );
  t.match(
    await line('-u', `${files.url}${path}`, '-o', join(folder, 'no', 'such', 'folder'), '-p', 'source'),
    /^download FAIL\(1101\) .* reason:6 error:FILE_FAILED/,
  );
});

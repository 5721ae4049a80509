import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { DaemonClient } from '../../dfget/daemon-client.ts';
import { hashContent, infoHashOf, torrentFile } from '../../dfget/torrent/metainfo.ts';
import { PieceCache, sharedChunkStore } from '../../dfget/torrent/piece-cache.ts';
import { readShares, type ShareRecord, writeShare } from '../../dfget/torrent/share-record.ts';
import { SharedContent } from '../../dfget/torrent/shared-content.ts';
import { Shares } from '../../dfget/torrent/shares.ts';
import { isTorrent } from '../../dfget/torrent/torrent-source.ts';
import { whatToShare } from '../../dfget/torrent/what-to-share.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { archiveHeader, archivePadding, packArchive } from '../../lib/oci/archive/pack.ts';
import { boot, pass } from '../store/machine.ts';
import { sampleBlob, storeWhole } from '../store/sample-blob.ts';

const NEVER = new AbortController().signal;

t.test('an archive in parts is what packArchive writes', async (t) => {
  const files = [
    { name: 'index.json', bytes: Buffer.from('{}') },
    { name: `blobs/sha512/${'a'.repeat(128)}`, bytes: randomBytes(512) },
    { name: `blobs/sha256/${'b'.repeat(64)}`, bytes: randomBytes(70_001) },
    { name: 'empty', bytes: Buffer.alloc(0) },
  ];
  const whole = await buffer(
    packArchive(
      (async function* () {
        for (const { bytes, name } of files) yield { name, size: bytes.length, content: [bytes] };
      })(),
    ),
  );
  const parts: Uint8Array[] = [];
  for (const { bytes, name } of files) {
    parts.push(await archiveHeader({ name, size: bytes.length }), bytes, archivePadding(bytes.length));
  }
  t.same(Buffer.concat([...parts, Buffer.alloc(1024)]), whole);
  t.equal((await archiveHeader({ name: 'large', size: 9 * 2 ** 30 })).length, 512, 'beyond 8 GiB too');
});

/** A store with two blobs, and a content that joins them. */
async function content(t: Test) {
  const { clock, store } = await boot();
  t.teardown(() => store.close());
  const samples = [sampleBlob(1, 600_000, 65_536), sampleBlob(2, 1000)];
  for (const sample of samples) {
    await (await storeWhole(store, sample)).close();
  }
  const [first, second] = samples.map(({ info: { digest, size } }) => ({
    kind: 'blob' as const,
    digest,
    size,
  }));
  const between = Buffer.from('between');
  if (first === undefined || second === undefined) throw new Error('two blobs');
  const parts = [
    { kind: 'bytes' as const, bytes: between },
    first,
    { kind: 'bytes' as const, bytes: between },
    second,
  ];
  const bytes = Buffer.concat(samples.flatMap((sample) => [between, sample.bytes]));
  return { bytes, clock, content: new SharedContent({ clock, store }, parts), first, store };
}

t.test('shared content is read from the store, across its parts, and let go of when idle', async (t) => {
  const { bytes, clock, content: shared, first, store } = await content(t);
  t.equal(shared.size, bytes.length);
  for (const [offset, length] of [
    [0, bytes.length],
    [0, 3],
    [5, 10],
    [600_000, 20],
    [bytes.length - 1, 1],
  ] as const) {
    const into = new Uint8Array(length);
    await shared.read(offset, into);
    t.same(Buffer.from(into), bytes.subarray(offset, offset + length), `${length} from ${offset}`);
  }
  const removed = store.remove(first.digest);
  await pass(clock, 10_000);
  t.equal(await removed, true, 'the store need not wait for ever for who once read');
  await t.rejects(shared.read(0, new Uint8Array(20)), { code: 'BLOB_UNKNOWN' });
  await shared.close();
});

t.test('a torrent has the hashes that BEP 3 wants, and is private', async (t) => {
  const { bytes, content: shared } = await content(t);
  const { info, sha256 } = await hashContent('file', shared, NEVER);
  t.equal(sha256, createHash('sha256').update(bytes).digest('hex'));
  const sha1 = (part: Uint8Array): string => createHash('sha1').update(part).digest('hex');
  const expected = [0, 1, 2].map((n) => sha1(bytes.subarray(n * info.pieceBytes, (n + 1) * info.pieceBytes)));
  t.equal(Buffer.from(info.pieceHashes).toString('hex'), expected.join(''));
  const file = torrentFile(info, { announce: ['http://t/announce/key'], comment: 'c' });
  const dictionary = Buffer.concat([
    Buffer.from(`d6:lengthi${bytes.length}e4:name4:file12:piece lengthi${info.pieceBytes}e6:pieces60:`),
    info.pieceHashes,
    Buffer.from('7:privatei1ee'),
  ]);
  t.ok(Buffer.from(file).includes(dictionary));
  t.equal(infoHashOf(info), sha1(dictionary));
  const stop = AbortSignal.abort();
  await t.rejects(hashContent('file', shared, stop), { code: 'ABORTED' });
  await shared.close();
});

t.test('pieces are read once for all who ask, within bounds', async (t) => {
  const asked: string[] = [];
  let [under, most] = [0, 0];
  const cache = new PieceCache(async (infoHash, offset, length) => {
    asked.push(`${infoHash} ${offset}`);
    most = Math.max(most, ++under);
    await new Promise((resolve) => setImmediate(resolve));
    under--;
    if (infoHash === 'broken') throw new Error('broken');
    return new Uint8Array(length).fill(offset);
  }, 30);
  const store = sharedChunkStore(cache, { infoHash: 'a', size: 95, pieceBytes: 10 });
  const get = (index: number, offset: number, length: number): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      store.get(index, { offset, length }, (error, bytes) =>
        error === null ? resolve(bytes ?? new Uint8Array()) : reject(error),
      );
    });
  const blocks = await Promise.all([get(1, 0, 4), get(1, 4, 6), get(9, 0, 5)]);
  t.same(
    blocks.map((block) => [block.length, block[0]]),
    [
      [4, 10],
      [6, 10],
      [5, 90],
    ],
  );
  t.same(asked, ['a 10', 'a 90']);
  await t.rejects(get(9, 0, 6), /no such bytes/, 'beyond the end');
  await Promise.all(Array.from({ length: 9 }, (_, index) => get(index, 0, 1)));
  t.ok(cache.bytes <= 30, `${cache.bytes} bytes kept`);
  t.equal(most, 4, 'reads at a time');
  const broken = sharedChunkStore(cache, { infoHash: 'broken', size: 10, pieceBytes: 10 });
  for (const attempt of [1, 2]) {
    const failed = new Promise((resolve) => broken.get(0, undefined, (error) => resolve(error?.message)));
    t.equal(await failed, 'broken');
    t.equal(asked.filter((each) => each === 'broken 0').length, attempt, 'a failure is not kept');
  }
});

t.test('what is shared is written down for its owner alone, and read again', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'damselfly-shares-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const digest = digestOf(Buffer.from('x'));
  const record: ShareRecord = {
    ...{
      infoHash: 'ab'.repeat(20),
      source: 'registry.test/a:v1',
      name: 'a-v1.tar',
      size: 8,
      pieceBytes: 262_144,
    },
    ...{ digest, announce: ['http://t/announce/secret'], passkey: 'secret', pinned: [digest] },
    parts: [
      { kind: 'bytes', bytes: new Uint8Array([1, 2, 255]) },
      { kind: 'blob', digest, size: 5 },
    ],
    torrent: new Uint8Array([100, 200]),
  };
  t.same(await readShares(join(folder, 'torrents'), silentLog()), []);
  await writeShare(join(folder, 'torrents'), record);
  const [name = ''] = await readdir(join(folder, 'torrents'));
  t.equal((await stat(join(folder, 'torrents', name))).mode & 0o777, 0o600, 'it holds the passkey');
  await writeFile(join(folder, 'torrents', 'other.json'), '{"infoHash":"../../etc"}');
  const read = await readShares(join(folder, 'torrents'), silentLog());
  t.same(read, [record], 'and what is none is left out');
  t.match(await readFile(join(folder, 'torrents', name), 'utf8'), 'secret');
});

t.test('what is shared already is not shared with another passkey too', async (t) => {
  const { clock, content: own, first, store } = await content(t);
  await own.close();
  const folder = await mkdtemp(join(tmpdir(), 'damselfly-shares-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const metrics = createMetrics({ defaults: false });
  const shares = await Shares.open(
    { clock, log: silentLog(), metrics, store, owner: () => 'ab'.repeat(20) },
    {
      ...{ folder, listen: { host: '127.0.0.1', port: 0 } },
      ...{ announceTo: ['http://127.0.0.1:1'], publishTo: [] },
    },
  );
  t.teardown(() => shares.close());
  const file = { source: 'a', name: 'a', parts: [{ digest: first.digest, size: first.size }] };
  const { infoHash } = await shares.share({ ...file, passkey: '1'.repeat(32) }, NEVER);
  const other = { ...file, passkey: '2'.repeat(32) };
  await t.rejects(shares.share(other, NEVER), { code: 'CONFIG_INVALID', message: /another passkey/ });
  t.match(shares.list, [{ infoHash }], 'the first goes on');
  t.ok(await shares.unshare(infoHash));
  t.match(await shares.share(other, NEVER), { infoHash });
});

t.test('only what is whole in the store can be shared', async (t) => {
  const info = blobInfo(digestOf(Buffer.from('x')), 1);
  const blob = { digest: info.digest, size: 1, held: 1, pinned: false, borrowed: false, usedAtMs: 0 };
  const client = (complete: boolean) =>
    ({ cache: async () => ({ blobs: [{ ...blob, complete }], images: [] }) }) as unknown as DaemonClient;
  t.same(await whatToShare(client(true), info.digest.slice(0, 20), undefined, NEVER), {
    source: info.digest,
    name: info.digest.replace(':', '-'),
    parts: [{ digest: info.digest, size: 1 }],
  });
  await t.rejects(whatToShare(client(false), info.digest, undefined, NEVER), { code: 'BLOB_UNKNOWN' });
  await t.rejects(whatToShare(client(true), `sha256:${'0'.repeat(64)}`, undefined, NEVER), {
    code: 'BLOB_UNKNOWN',
  });
});

t.test('what is meant as a torrent', (t) => {
  for (const name of ['magnet:?xt=urn:btih:x', 'a.torrent', '/x/a.TORRENT', 'https://a/b.torrent?x=1']) {
    t.ok(isTorrent(name), name);
  }
  for (const name of ['https://a/b.tar', 'https://a/b?c=.torrent#x', 'torrent', 'https://a.torrent/']) {
    t.notOk(isTorrent(name), name);
  }
  t.end();
});

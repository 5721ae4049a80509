import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, startChild } from '../../bench/fixtures/child.ts';
import { countAccessLog } from '../../bench/fixtures/docker-registry.ts';
import { createEmbeddedRegistry, type EmbeddedRegistry } from '../../bench/fixtures/embedded-registry.ts';
import { blobPath, createImage, type GeneratedImage, type ImageOptions } from '../../bench/fixtures/image.ts';
import { parseMetrics } from '../../bench/fixtures/metrics.ts';
import { pullImage } from '../../bench/fixtures/pull.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { createShaper } from '../../bench/fixtures/shaper.ts';
import { quantile } from '../../bench/fixtures/table.ts';
import { createTokenBucket } from '../../bench/fixtures/token-bucket.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { createTapReader, type FileResult } from '../../scripts/tap-summary.ts';

const KIB = 1024;
const LOOPBACK = { host: '127.0.0.1', port: 0 };

const imageOptions = (folder: string, more: Partial<ImageOptions> = {}): ImageOptions => ({
  ...{ folder, tag: 'v1', totalBytes: 300 * KIB, layers: 3, seed: 'a' },
  ...more,
});

async function served(
  test: Pick<typeof t, 'testdir' | 'teardown'>,
): Promise<{ image: GeneratedImage; registry: EmbeddedRegistry; base: string }> {
  const image = await createImage(imageOptions(test.testdir()));
  const options = { listen: LOOPBACK, layout: image.folder, repository: 'a/b', bytesPerSecond: Infinity };
  const registry = await createEmbeddedRegistry(options);
  test.teardown(() => registry.close());
  return { image, registry, base: `http://${registry.address}` };
}

t.test('an image has the size asked for, and the same digests for the same seed only', async (t) => {
  const folder = t.testdir();
  const image = await createImage(imageOptions(join(folder, 'a')));
  t.same(
    image.layers.map(({ size }) => size),
    [100 * KIB, 100 * KIB, 100 * KIB],
  );
  t.equal(new Set(image.layers.map(({ digest }) => digest)).size, 3);
  const again = await createImage(imageOptions(join(folder, 'b')));
  t.equal(again.manifest.digest, image.manifest.digest);
  const other = await createImage(imageOptions(join(folder, 'c'), { seed: 'b' }));
  t.not(other.manifest.digest, image.manifest.digest);
  const zipped = await createImage(imageOptions(join(folder, 'd'), { compression: 'gzip' }));
  t.equal(zipped.config.digest, image.config.digest, 'the unpacked layers are the same');
  t.not(zipped.layers[0]?.digest, image.layers[0]?.digest);
});

t.test('the embedded registry answers as the distribution specification says', async (t) => {
  const { image, base } = await served(t);
  const layer = image.layers[0];
  if (layer === undefined) throw new Error('no layer');
  const head = await fetch(`${base}/v2/a/b/manifests/v1`, { method: 'HEAD' });
  t.equal(head.headers.get('docker-content-digest'), image.manifest.digest);
  t.equal(head.headers.get('content-length'), String(image.manifest.size));
  const whole = await fetch(`${base}/v2/a/b/blobs/${layer.digest}`);
  const bytes = new Uint8Array(await whole.arrayBuffer());
  t.equal(digestOf(bytes), layer.digest);
  const part = await fetch(`${base}/v2/a/b/blobs/${layer.digest}`, { headers: { range: 'bytes=1000-1009' } });
  t.equal(part.status, 206);
  t.equal(part.headers.get('content-range'), `bytes 1000-1009/${layer.size}`);
  t.same(new Uint8Array(await part.arrayBuffer()), bytes.subarray(1000, 1010));
  const beyond = await fetch(`${base}/v2/a/b/blobs/${layer.digest}`, {
    headers: { range: `bytes=${layer.size}-` },
  });
  t.equal(beyond.status, 416);
  for (const path of ['a/b/manifests/v2', 'a/c/manifests/v1', `a/b/blobs/${digestOf(Buffer.from('x'))}`]) {
    t.equal((await fetch(`${base}/v2/${path}`)).status, 404, path);
  }
});

t.test('a pull checks every byte, and the registry counts each once', async (t) => {
  const { image, registry, base } = await served(t);
  const { signal } = new AbortController();
  const pull = { base, repository: 'a/b', tag: 'v1' };
  const result = await pullImage(pull, { signal });
  t.equal(result.manifestDigest, image.manifest.digest);
  t.same(
    result.blobDigests,
    [image.config, ...image.layers].map(({ digest }) => digest),
  );
  t.equal(result.bytes, image.bytes);
  t.equal(registry.counters.bytes, image.bytes);
  t.equal(registry.counters.blobRequests, 4);
  t.ok(result.firstByteSeconds <= result.seconds);

  const [good, bad] = await pullTogether([pull, { ...pull, tag: 'none' }], { signal });
  t.equal(good?.kind, 'done');
  t.match(bad, { kind: 'failed', reason: /404 .*MANIFEST_UNKNOWN/ });
  const layer = image.layers[1];
  if (layer === undefined) throw new Error('no layer');
  writeFileSync(blobPath(image.folder, layer.digest), Buffer.alloc(layer.size));
  await t.rejects(pullImage(pull, { signal }), { message: new RegExp(`${layer.digest} arrived as sha256:`) });
});

t.test('a token bucket lets no more pass than its rate and one burst', async (t) => {
  let now = 0;
  const bucket = createTokenBucket(1000, () => now);
  let passed = 0;
  for (; now < 10_000; now += Math.max(1, bucket.waitMs)) while (bucket.take(40)) passed += 40;
  t.ok(passed <= 10_000 + 25 + 40, `${passed} bytes in ten seconds at 1000 a second`);
  t.ok(passed >= 9_900, 'and hardly less');
});

t.test('the shaper passes every byte of every connection, not faster than its rate in all', async (t) => {
  const sent = Buffer.alloc(512 * KIB, 'x');
  const target = createServer((socket) => {
    socket.on('error', () => {});
    // Answers only what it was asked, so the way there is seen to work too.
    socket.once('data', () => socket.end(sent));
  });
  t.teardown(() => target.close());
  await once(target.listen(0, '127.0.0.1'), 'listening');
  const { port } = target.address() as AddressInfo;
  const bytesPerSecond = 8 * KIB * KIB;
  const shaper = await createShaper({
    listen: LOOPBACK,
    target: { host: '127.0.0.1', port },
    bytesPerSecond,
  });
  t.teardown(() => shaper.close());
  const started = performance.now();
  const sizes = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const socket = connect({ host: '127.0.0.1', port: Number(shaper.address.split(':')[1]) });
      socket.write('go');
      let size = 0;
      for await (const chunk of socket as AsyncIterable<Buffer>) size += chunk.length;
      return size;
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  t.same(sizes, Array(4).fill(sent.length));
  t.equal(shaper.egressBytes, 4 * sent.length);
  t.ok(seconds >= (4 * sent.length) / bytesPerSecond - 0.035, `${seconds} s`);
});

t.test('an access log is summed up without what HEAD announced', async (t) => {
  const line = (method: string, uri: string, written: number): string =>
    JSON.stringify({
      'http.request.method': method,
      'http.request.uri': uri,
      'http.response.written': written,
      msg: 'response completed',
    });
  const log = [
    line('HEAD', '/v2/a/manifests/v1', 90),
    line('GET', '/v2/a/manifests/v1', 100),
    line('GET', `/v2/a/blobs/sha256:${'0'.repeat(64)}`, 1000),
    JSON.stringify({ msg: 'listening on 127.0.0.1:5000' }),
  ];
  t.same(countAccessLog(`${log.join('\n')}\n`), { bytes: 1100, requests: 3, blobRequests: 1 });
});

t.test('a process that does not become ready is reported with its last words', async (t) => {
  const logFile = join(t.testdir(), 'log');
  const spec = { command: process.execPath, logFile, ready: jsonReady('x') };
  await t.rejects(startChild({ ...spec, args: ['-e', 'console.error("no such flag"); process.exit(3)'] }), {
    message: /ended early \(3\)\n(.|\n)*no such flag/,
  });
  await t.rejects(startChild({ ...spec, args: ['-e', 'setInterval(() => {}, 1000)'], deadlineMs: 300 }), {
    message: /not ready after 300 ms/,
  });
  await t.rejects(startChild({ ...spec, command: 'no-such-program', args: [] }), { message: /ENOENT/ });
});

t.test('metrics, quantiles and test results are read right', async (t) => {
  const page = '# HELP a_total x\na_total{source="peer",x="1"} 5\na_total{source="origin"} 1e3\nb 2.5\n';
  t.same(parseMetrics(page), [
    { name: 'a_total', labels: { source: 'peer', x: '1' }, value: 5 },
    { name: 'a_total', labels: { source: 'origin' }, value: 1000 },
    { name: 'b', labels: {}, value: 2.5 },
  ]);
  t.equal(quantile([3, 1, 2, 4], 0.5), 2);
  t.equal(quantile([3, 1, 2, 4], 0.99), 4);
  const seen: FileResult[] = [];
  const reader = createTapReader((result) => seen.push(result));
  const tap = [
    'TAP version 14',
    '# Subtest: test/a.test.ts',
    '    # Subtest: works',
    '        ok 1 - deeper',
    '    ok 1 - works # time=1ms',
    '    not ok 2 - breaks # time=1ms',
    '    ok 3 - absent # SKIP not installed: podman',
    'not ok 1 - test/a.test.ts # time=1.5s',
    '  ---',
    '  exitCode: 1',
    '  ...',
    'ok 2 - test/b.test.ts # time=20ms {',
    '    ok 1 - works too # time=1ms',
    '}',
    'not ok 3 - test/c.test.ts # time=20ms',
  ];
  tap.forEach(reader.line);
  reader.end();
  t.match(seen, [
    {
      file: 'test/a.test.ts',
      passed: 1,
      failed: 1,
      skipped: ['absent: not installed: podman'],
      seconds: 1.5,
    },
    { file: 'test/b.test.ts', passed: 1, failed: 0, skipped: [] },
    { file: 'test/c.test.ts', passed: 0, failed: 1 },
  ]);
  t.match(seen[0]?.output, /exitCode: 1/);
});

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { discard, readBody } from '../../lib/origin/exchange.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import { createUndiciExchange } from '../../lib/origin/http/undici-exchange.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { isInstalled } from '../helpers/docker-registry.ts';
import { type FaultOrigin, send, startFaultOrigin } from '../helpers/fault-origin.ts';

const BYTES = Buffer.from('0123456789'.repeat(100_000));
const DIGEST = digestOf(BYTES);
const signal = new AbortController().signal;
const metrics = createMetrics({ defaults: false });

function clientOf(
  url: string,
  timeouts: { headersTimeoutMs?: number; bodyTimeoutMs?: number } = {},
): OriginClient {
  const upstreams = [{ name: 'reg', url }];
  return createOriginClient({ upstreams, metrics, log: silentLog(), clock: createSystemClock() }, timeouts);
}

async function setUp(t: Test): Promise<{ origin: FaultOrigin; client: OriginClient }> {
  const origin = await startFaultOrigin();
  const client = clientOf(origin.url);
  t.teardown(async () => {
    await client.close();
    await origin.close();
  });
  return { origin, client };
}

async function read(
  client: OriginClient,
  part: { start?: number; end?: number } = {},
): Promise<{ size: number; bytes: Buffer }> {
  const origin = { upstream: 'reg', repository: 'a/b' };
  const body = await client.readBlob({ origin, digest: DIGEST, ...part }, { signal });
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.bytes) chunks.push(chunk);
  return { size: body.size, bytes: Buffer.concat(chunks) };
}

await t.test(
  "a request reaches the registry with the caller's headers and the registry's own Host",
  async (t) => {
    const { origin, client } = await setUp(t);
    origin.answer = (_request, response) => send(response, 404, 'no', { 'x-a': '1' });
    const headers = {
      Authorization: 'Bearer x',
      'user-agent': 'docker/1',
      accept: 'a/b',
      'accept-encoding': 'gzip',
      host: 'evil',
      connection: 'close',
      te: 'trailers',
    };
    const answer = await client.request(
      { upstream: 'reg', method: 'GET', path: '/v2/a/manifests/1', headers },
      { signal },
    );
    t.equal(answer.status, 404);
    t.equal(answer.headers['x-a'], '1');
    let text = '';
    for await (const chunk of answer.body) text += Buffer.from(chunk).toString();
    t.equal(text, 'no');
    const [seen] = origin.seen;
    t.match(seen?.headers, {
      host: origin.host,
      authorization: 'Bearer x',
      'user-agent': 'docker/1',
      accept: 'a/b',
      'accept-encoding': 'identity',
    });
    t.equal(seen?.headers['te'], undefined);
    t.match(await metrics.originRequests.get(), {
      values: [{ labels: { kind: 'manifest', status: '404' }, value: 1 }],
    });
  },
);

await t.test(
  'a redirect to another host is followed without credentials, one on the same host with them',
  async (t) => {
    const { origin, client } = await setUp(t);
    const storage = await startFaultOrigin((_request, response) => send(response, 200, BYTES));
    t.teardown(() => storage.close());
    origin.answer = (request, response) => {
      const here = request.url?.startsWith('/v2/a/b/') === true;
      send(response, 307, '', { location: here ? '/elsewhere?x=1' : `${storage.url}/signed?sig=secret` });
    };
    const headers = { authorization: 'Bearer x', cookie: 'c=1', accept: 'a/b' };
    const answer = await client.request(
      { upstream: 'reg', method: 'GET', path: `/v2/a/b/blobs/${DIGEST}`, headers },
      { signal },
    );
    t.equal(answer.status, 200);
    t.equal(origin.seen[1]?.headers.authorization, 'Bearer x');
    t.equal(storage.seen[0]?.headers.authorization, undefined);
    t.equal(storage.seen[0]?.headers.cookie, undefined);
    t.equal(storage.seen[0]?.headers.accept, 'a/b');
    await discard(answer);
  },
);

await t.test(
  "redirects without end, to the cloud's metadata service or to no web address are not followed",
  async (t) => {
    const { origin, client } = await setUp(t);
    for (const location of [
      '/again',
      'http://169.254.169.254/latest',
      'http://2852039166/',
      'http://[::ffff:169.254.169.254]/',
      'file:///etc/passwd',
    ]) {
      origin.answer = (_request, response) => send(response, 302, '', { location });
      await t.rejects(read(client), { code: 'UPSTREAM_BROKEN' }, location);
    }
  },
);

await t.test('a blob is read whole or from any byte on, whether or not the registry has Range', async (t) => {
  const { origin, client } = await setUp(t);
  const whole: FaultOrigin['answer'] = (_request, response) => send(response, 200, BYTES);
  const ranged: FaultOrigin['answer'] = (request, response) => {
    if (request.headers.range === undefined) {
      whole(request, response);
      return;
    }
    const [, start = 0, last = BYTES.length - 1] =
      /bytes=(\d+)-(\d+)?/
        .exec(request.headers.range ?? '')
        ?.map((digits) => (digits === undefined ? undefined : Number(digits))) ?? [];
    const end = Math.min(Number(last), BYTES.length - 1);
    send(response, 206, BYTES.subarray(Number(start), end + 1), {
      'content-range': `bytes ${start}-${end}/${BYTES.length}`,
    });
  };
  origin.answer = whole;
  t.same(await read(client), { size: BYTES.length, bytes: BYTES });
  t.equal(origin.seen[0]?.headers.range, undefined);
  for (const answer of [whole, ranged]) {
    origin.answer = answer;
    for (const [start, end] of [
      [1, undefined],
      [9_999, undefined],
      [5, 6],
      [0, 10],
      [0, 0],
      [7, 7],
      [900_001, undefined],
      [900_001, 900_002],
      [900_000, 2_000_000],
    ] as const) {
      const part = end === undefined ? { start } : { start, end };
      t.same(
        await read(client, part),
        { size: BYTES.length, bytes: BYTES.subarray(start, end) },
        JSON.stringify(part),
      );
    }
  }
});

await t.test('bytes that are not what was asked for or promised are an error', async (t) => {
  const { origin, client } = await setUp(t);
  const faults: Record<string, [FaultOrigin['answer'], { start?: number; end?: number }?]> = {
    'cut in the middle': [
      (_request, response) => {
        response.writeHead(200, { 'content-length': String(BYTES.length) });
        response.write(BYTES.subarray(0, 100), () => response.destroy());
      },
    ],
    'encoded though identity was asked': [
      (_request, response) => send(response, 200, BYTES, { 'content-encoding': 'gzip' }),
    ],
    'no length': [
      (_request, response) => {
        response.writeHead(200);
        response.end(BYTES);
      },
    ],
    'another range': [
      (_request, response) => send(response, 206, '234', { 'content-range': 'bytes 2-4/10000' }),
      { start: 1 },
    ],
    'a range without Content-Range': [(_request, response) => send(response, 206, '234'), { start: 1 }],
    "a length that is not the range's": [
      (_request, response) => send(response, 206, '12', { 'content-range': 'bytes 1-9999/10000' }),
      { start: 1 },
    ],
    'a start beyond the blob': [
      (_request, response) => send(response, 206, '', { 'content-range': 'bytes 5-4/4' }),
      { start: 5 },
    ],
  };
  for (const [name, [answer, part]] of Object.entries(faults)) {
    origin.answer = answer;
    await t.rejects(read(client, part), { code: 'UPSTREAM_BROKEN' }, name);
  }
});

await t.test('more bytes than the Content-Length promises never reach the reader', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n0123456789`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.teardown(async () => {
    await client.close();
    server.close();
  });
  const got = await read(client).catch((error: unknown) => error as { code: string });
  t.ok('code' in got ? got.code === 'UPSTREAM_BROKEN' : got.bytes.toString() === '01234');
});

await t.test(
  'a refusal is told with its status, silence and refused connections as unreachable',
  async (t) => {
    const { origin, client } = await setUp(t);
    for (const status of [401, 403, 404, 416, 500]) {
      origin.answer = (_request, response) => send(response, status, '{}');
      await t.rejects(read(client), { code: 'UPSTREAM_REFUSED', facts: { status } }, String(status));
    }
    const hasty = clientOf(origin.url, { headersTimeoutMs: 200 });
    origin.answer = () => {};
    await t.rejects(read(hasty), { code: 'UPSTREAM_UNREACHABLE' }, 'no headers');
    await hasty.close();
    const impatient = clientOf(origin.url, { bodyTimeoutMs: 200 });
    origin.answer = (_request, response) => {
      response.writeHead(200, { 'content-length': '10' });
      response.write('1');
    };
    await t.rejects(read(impatient), { code: 'UPSTREAM_UNREACHABLE' }, 'a body that stops');
    await impatient.close();
    const gone = clientOf('http://127.0.0.1:1');
    await t.rejects(read(gone), { code: 'UPSTREAM_UNREACHABLE', message: /127\.0\.0\.1:1/ });
    await gone.close();
    const other = { upstream: 'other', method: 'GET', path: '/v2/', headers: {} };
    await t.rejects(client.request(other, { signal }), { code: 'UPSTREAM_UNKNOWN' });
  },
);

await t.test('the caller can give up at any time', async (t) => {
  const { origin, client } = await setUp(t);
  origin.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': '10' });
    response.write('1');
  };
  const early = AbortSignal.abort();
  const request = { origin: { upstream: 'reg', repository: 'a' }, digest: 'sha256:x' as Digest };
  await t.rejects(client.readBlob(request, { signal: early }), { code: 'ABORTED' });
  const later = new AbortController();
  const body = await client.readBlob(request, { signal: later.signal });
  const reading = (async () => {
    for await (const chunk of body.bytes) later.abort(chunk);
  })();
  await t.rejects(reading, { code: 'ABORTED' });
});

await t.test(
  'a blob of another size than the reader knows is refused, and its connection let go',
  async (t) => {
    const { origin, client } = await setUp(t);
    const letGo = Promise.withResolvers<void>();
    origin.answer = (_request, response) => {
      response.once('close', () => letGo.resolve());
      response.writeHead(200, { 'content-length': String(BYTES.length) });
      response.write(BYTES.subarray(0, 256 * 1024));
    };
    const read = { origin: { upstream: 'reg', repository: 'a' }, digest: DIGEST, size: BYTES.length - 1 };
    await t.rejects(client.readBlob(read, { signal }), { code: 'UPSTREAM_BROKEN', message: /another size/ });
    await letGo.promise;
  },
);

await t.test('a registry that is given up answers what was asked of it, and nothing more', async (t) => {
  const origin = await startFaultOrigin();
  const half = Promise.withResolvers<void>();
  origin.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': String(BYTES.length) });
    response.write(BYTES.subarray(0, 500_000));
    void half.promise.then(() => response.end(BYTES.subarray(500_000)));
  };
  const limits = { connectTimeoutMs: 5000, headersTimeoutMs: 5000, bodyTimeoutMs: 5000 };
  const connections = createUndiciExchange(
    {},
    { ...limits, ownHosts: [origin.host], mayBeOwn: true, redirectsMayBeOwn: true },
  );
  t.teardown(async () => {
    await connections.close();
    await origin.close();
  });
  const request = { kind: 'blob', method: 'GET', url: new URL(origin.url), headers: {} } as const;
  const answer = await connections.exchange(request, signal);
  let finished = false;
  const finishing = connections.finish().then(() => {
    finished = true;
  });
  await t.rejects(connections.exchange(request, signal), { code: 'UPSTREAM_UNREACHABLE' });
  t.notOk(finished);
  half.resolve();
  t.same(await readBody(answer, BYTES.length), BYTES);
  await finishing;
});

await t.test('a kept connection that the registry closes under a request is replaced once', async (t) => {
  const { origin, client } = await setUp(t);
  let drop = false;
  origin.answer = (request, response) => {
    if (drop) request.socket.destroy();
    else send(response, 200, BYTES);
    drop = false;
  };
  await read(client);
  drop = true;
  t.equal((await read(client)).size, BYTES.length);
  t.equal(origin.seen.length, 3);
});

await t.test(
  'an address with credentials, a query or another scheme is a configuration error that repeats no secret',
  async (t) => {
    for (const url of ['ftp://x', 'http://u:secret@x/', 'http://x/?token=secret', 'secret']) {
      try {
        clientOf(url);
        t.fail(url);
      } catch (error) {
        t.match(error, { code: 'CONFIG_INVALID' });
        t.notMatch((error as Error).message, /secret/);
      }
    }
  },
);

const openssl = isInstalled('openssl') ? false : 'openssl is not installed';
await t.test(
  "a registry whose certificate is the upstream's own is trusted, and no other",
  { skip: openssl },
  async (t) => {
    const folder = t.testdir();
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name)) as [string, string];
    const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const out = ['-keyout', key, '-out', cert];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    execFileSync('openssl', ['req', '-x509', ...curve, '-nodes', '-days', '2', ...subject, ...out], {
      stdio: 'ignore',
    });
    const ca = readFileSync(cert, 'utf8');
    const server = createTlsServer({ key: readFileSync(key), cert: ca }, (_request, response) =>
      send(response, 200, BYTES),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const deps = { log: silentLog(), clock: createSystemClock() };
    const trusting = createOriginClient({ ...deps, upstreams: [{ name: 'reg', url, ca }] });
    const strict = createOriginClient({ ...deps, upstreams: [{ name: 'reg', url }] });
    t.teardown(async () => {
      await Promise.all([trusting.close(), strict.close()]);
      server.closeAllConnections();
      server.close();
    });
    t.same((await read(trusting)).bytes, BYTES);
    await t.rejects(read(strict), { code: 'UPSTREAM_UNREACHABLE', message: /certificate/ });
  },
);

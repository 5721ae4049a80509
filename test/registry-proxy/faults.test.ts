import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { MAX_MANIFEST_BYTES } from '../../lib/oci/manifest.ts';
import { type FaultOrigin, send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { ask, errorCode, type ProxyFixture, startProxy } from './fixture.ts';

const BYTES = Buffer.alloc(3_000_000, 'layer');
const DIGEST = digestOf(BYTES);
const BLOB = `/v2/a/b/blobs/${DIGEST}`;
const MANIFEST = Buffer.from('{"schemaVersion":2,"layers":[]}');
const MANIFEST_DIGEST = digestOf(MANIFEST);

async function start(
  t: Test,
  options: { blobs?: BlobSource; headersTimeoutMs?: number } = {},
): Promise<{ origin: FaultOrigin; proxy: ProxyFixture }> {
  const origin = await startFaultOrigin();
  const upstreams = [{ name: 'reg', url: origin.url }];
  const proxy = await startProxy(upstreams, {
    defaultUpstream: 'reg',
    ...options,
  });
  t.teardown(async () => {
    await proxy.close();
    await origin.close();
  });
  return { origin, proxy };
}

/** HEAD is answered well, GET by `get`. */
function afterHead(get: FaultOrigin['answer']): FaultOrigin['answer'] {
  return (request, response) =>
    request.method === 'HEAD' ? send(response, 200, BYTES) : get(request, response);
}

await t.test('a wrong blob is never delivered whole', async (t) => {
  const { origin, proxy } = await start(t);
  const wrong = Buffer.from(BYTES);
  wrong[1] = 0;
  const faults: Record<string, FaultOrigin['answer']> = {
    'other bytes': (_request, response) => send(response, 200, wrong),
    'cut off': (_request, response) => {
      response.writeHead(200, { 'content-length': String(BYTES.length) });
      response.write(BYTES.subarray(0, 1_000_000), () => response.destroy());
    },
    'too short, well framed': (_request, response) => send(response, 200, BYTES.subarray(1)),
    'compressed on the way': (_request, response) =>
      send(response, 200, BYTES, { 'content-encoding': 'gzip' }),
  };
  for (const [name, fault] of Object.entries(faults)) {
    origin.answer = afterHead(fault);
    const answer = await ask(proxy.port, BLOB);
    t.ok(answer.cut || answer.status >= 500, `${name}: ${answer.status} ${answer.cut}`);
    t.not(answer.body.length, BYTES.length, name);
  }
  origin.answer = afterHead((_request, response) => send(response, 200, BYTES));
  t.same((await ask(proxy.port, BLOB)).body, BYTES, 'and the next try succeeds');
  const outcomes = (await proxy.metrics.pullSeconds.get()).values.map(({ labels }) => labels.outcome);
  t.ok(outcomes.includes('failed') && outcomes.includes('complete'));
});

await t.test(
  'a failure before the first byte is a proper answer, and never one that asks for a login',
  async (t) => {
    const { origin, proxy } = await start(t);
    for (const status of [500, 404, 401, 403, 429]) {
      origin.answer = afterHead((_request, response) => send(response, status, 'x'));
      const answer = await ask(proxy.port, BLOB);
      t.equal(answer.status, 502, `${status}`);
      t.equal(errorCode(answer), 'UNAVAILABLE');
    }
  },
);

await t.test('a registry that cannot be reached, is silent or fails is told as that', async (t) => {
  const proxy = await startProxy([{ name: 'reg', url: 'http://127.0.0.1:1' }], { defaultUpstream: 'reg' });
  t.teardown(() => proxy.close());
  for (const path of ['/v2/', '/v2/a/manifests/v1', BLOB, '/v2/a/tags/list']) {
    const answer = await ask(proxy.port, path);
    t.equal(answer.status, 502, path);
    t.equal(errorCode(answer), 'UNAVAILABLE', path);
  }
  const silent = await start(t, { headersTimeoutMs: 200 });
  silent.origin.answer = () => {};
  t.equal((await ask(silent.proxy.port, '/v2/a/manifests/v1')).status, 502);
  const busy = await start(t);
  busy.origin.answer = (_request, response) => send(response, 503, 'busy', { 'retry-after': '7' });
  t.match(await ask(busy.proxy.port, '/v2/a/manifests/v1'), {
    status: 503,
    headers: { 'retry-after': '7' },
  });
  t.match(await ask(busy.proxy.port, BLOB), { status: 503, headers: { 'retry-after': '7' } });
});

await t.test(
  'a registry that fails now and then is asked for a manifest again, one that always fails is told as that',
  async (t) => {
    const { origin, proxy } = await start(t);
    let failures = 3;
    origin.answer = (_request, response) =>
      failures-- > 0 ? send(response, 500, 'an accident') : send(response, 200, MANIFEST);
    const answer = await ask(proxy.port, '/v2/a/manifests/v1');
    t.match(answer, { status: 200, body: MANIFEST });
    t.equal(origin.seen.length, 4);
    failures = Number.POSITIVE_INFINITY;
    t.match(await ask(proxy.port, '/v2/a/manifests/v1'), { status: 500 });
  },
);

await t.test('a manifest that is not what was asked for goes no further', async (t) => {
  const { origin, proxy } = await start(t);
  const other = digestOf(Buffer.from('other'));
  origin.answer = (_request, response) => send(response, 200, MANIFEST, { 'docker-content-digest': other });
  t.equal((await ask(proxy.port, '/v2/a/manifests/v1')).status, 502, 'a lying Docker-Content-Digest');
  t.equal(
    (await ask(proxy.port, `/v2/a/manifests/${MANIFEST_DIGEST}`)).status,
    502,
    'a lie about right bytes',
  );
  t.equal((await ask(proxy.port, `/v2/a/manifests/${MANIFEST_DIGEST}`, { method: 'HEAD' })).status, 502);
  origin.answer = (_request, response) => send(response, 200, MANIFEST);
  t.equal(
    (await ask(proxy.port, `/v2/a/manifests/${other}`)).status,
    502,
    'other bytes than the digest names',
  );
  const plain = await ask(proxy.port, '/v2/a/manifests/v1');
  t.match(
    plain,
    { status: 200, body: MANIFEST, headers: { 'docker-content-digest': MANIFEST_DIGEST } },
    'a missing digest is added',
  );
  origin.answer = (_request, response) => send(response, 200, MANIFEST, { 'content-encoding': 'gzip' });
  t.equal((await ask(proxy.port, '/v2/a/manifests/v1')).status, 502, 'encoded');
  origin.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{', () => response.destroy());
  };
  t.equal((await ask(proxy.port, '/v2/a/manifests/v1')).status, 502, 'cut off');
});

await t.test('a manifest of 4 MiB passes and a byte more does not, told or not', async (t) => {
  const { origin, proxy } = await start(t);
  const manifest = Buffer.alloc(MAX_MANIFEST_BYTES, ' ');
  manifest.set(MANIFEST);
  origin.answer = (_request, response) => send(response, 200, manifest);
  t.equal((await ask(proxy.port, '/v2/a/manifests/v1')).body.length, MAX_MANIFEST_BYTES);
  const larger = Buffer.concat([manifest, Buffer.from(' ')]);
  origin.answer = (_request, response) => send(response, 200, larger);
  t.equal((await ask(proxy.port, '/v2/a/manifests/v1')).status, 502);
  origin.answer = (_request, response) => {
    response.writeHead(200);
    response.end(larger);
  };
  t.equal((await ask(proxy.port, '/v2/a/manifests/v1')).status, 502, 'without a length');
});

await t.test(
  'pages lead on to the proxy whatever the registry calls itself, and its cookies stay out',
  async (t) => {
    const { origin, proxy } = await start(t);
    origin.answer = (_request, response) =>
      send(response, 200, '{}', {
        link: '<http://inside.corp:5000/v2/a/b/tags/list?last=c&n=2>; rel="next"',
        'set-cookie': 'sid=1',
        warning: '299 - "old"',
        'oci-filters-applied': 'artifactType',
        'ratelimit-remaining': '5',
      });
    const answer = await ask(proxy.port, '/v2/reg/a/b/tags/list?n=2');
    t.equal(answer.headers['link'], '</v2/reg/a/b/tags/list?last=c&n=2>; rel="next"');
    t.equal(answer.headers['set-cookie'], undefined);
    t.match(answer.headers, {
      warning: '299 - "old"',
      'oci-filters-applied': 'artifactType',
      'ratelimit-remaining': '5',
    });
    const named = await ask(proxy.port, `/v2/a/b/referrers/${DIGEST}?ns=reg&artifactType=x%2Fy`);
    t.equal(named.headers['link'], `</v2/a/b/referrers/${DIGEST}?last=c&n=2&ns=reg>; rel="next"`);
    t.equal(origin.seen.at(-1)?.url, `/v2/a/b/referrers/${DIGEST}?artifactType=x%2Fy`);
  },
);

await t.test('a blob under a digest that cannot be verified comes straight from the registry', async (t) => {
  const { origin, proxy } = await start(t);
  origin.answer = (request, response) =>
    send(response, 206, 'part', { 'content-range': 'bytes 0-3/9', 'x-range': request.headers.range ?? '' });
  const answer = await ask(proxy.port, '/v2/a/b/blobs/blake3:abcdef', { headers: { range: 'bytes=0-3' } });
  t.match(answer, { status: 206, body: Buffer.from('part'), headers: { 'content-range': 'bytes 0-3/9' } });
  t.match(origin.seen, [{ method: 'GET', headers: { range: 'bytes=0-3' } }]);
});

await t.test('case 47: a proxy whose registry is itself says so instead of going round', async (t) => {
  const origin = await startFaultOrigin();
  const port = Number(origin.host.split(':')[1]);
  await origin.close();
  const proxy = await startProxy([{ name: 'loop', url: origin.url }], {
    defaultUpstream: 'loop',
    listeners: [{ host: '127.0.0.1', port }],
  });
  t.teardown(() => proxy.close());
  const answer = await ask(port, '/v2/a/manifests/v1');
  t.equal(answer.status, 508);
  t.match(answer.body.toString(), /--upstream/);
});

await t.test('addresses and requests of attackers get an error and reach no registry', async (t) => {
  const { origin, proxy } = await start(t);
  for (const path of [
    '/v2/../etc/manifests/v1',
    '/v2/a/%2e%2e/manifests/v1',
    '/v2/a%2fb/manifests/v1',
    '/v2/a/manifests/%00',
    '/v2/a\\b/manifests/v1',
    '/v2/a/manifests/v1%0d%0aX:1',
    `/v2/${'a'.repeat(256)}/manifests/v1`,
    `/v2/a/manifests/${'a'.repeat(129)}`,
    `/v2/a/blobs/sha256:${'A'.repeat(64)}`,
    '/v2/a/blobs/sha256:12',
  ]) {
    t.equal((await ask(proxy.port, path)).status, 400, path);
  }
  t.equal((await ask(proxy.port, '/v2/a/manifests/v1?ns=x%0d%0ay')).status, 404);
  const raw = async (text: string): Promise<string> => {
    const socket = connect(proxy.port, '127.0.0.1');
    socket.end(text);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    return answer.split('\r\n')[0] ?? '';
  };
  const target = 'GET /v2/a/manifests/v1 HTTP/1.1\r\n';
  t.match(await raw(`${target}Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n`), / 400 /);
  t.match(
    await raw(`POST /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`),
    / 400 /,
  );
  t.match(await raw(`${target}\r\n`), / 400 /, 'no Host');
  t.match(
    await raw('GET http://169.254.169.254/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'),
    / 400 /,
  );
  t.equal(origin.seen.length, 0);
});

/** Bytes without end, counted as they are taken; tells when its reader has gone. */
function endlessSource(): { source: BlobSource; taken: () => number; ended: Promise<void> } {
  const ended = Promise.withResolvers<void>();
  let taken = 0;
  return {
    taken: () => taken,
    ended: ended.promise,
    source: {
      async *open(_request, { signal }) {
        signal.addEventListener('abort', () => ended.resolve());
        for (;;) {
          taken += 65_536;
          yield Buffer.alloc(65_536);
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    },
  };
}

await t.test('a client that reads nothing holds back the source, and one that leaves ends it', async (t) => {
  const { source, taken, ended } = endlessSource();
  const { origin, proxy } = await start(t, { blobs: source });
  origin.answer = (_request, response) => {
    response.writeHead(200, { 'content-length': '1000000000' });
    response.end();
  };
  const client = httpRequest({ host: '127.0.0.1', port: proxy.port, path: BLOB, agent: false });
  client.end();
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  let before = -1;
  // Kernel buffers fill first; then the source must stand still.
  while (before !== taken()) {
    before = taken();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.ok(taken() < 64_000_000, `${taken()} bytes taken of a billion`);
  response.destroy();
  await ended;
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(
    (await proxy.metrics.pullSeconds.get()).values.some(({ labels }) => labels.outcome === 'aborted'),
    true,
  );
});

await t.test('headers wait for the first byte for a second, then go ahead of it', async (t) => {
  const gate = Promise.withResolvers<void>();
  const source: BlobSource = {
    async *open() {
      await gate.promise;
      yield BYTES.subarray(0, 10);
      throw new DamselflyError('UPSTREAM_UNREACHABLE', 'gone');
    },
  };
  const { origin, proxy } = await start(t, { blobs: source });
  origin.answer = (_request, response) => send(response, 200, BYTES);
  const client = httpRequest({ host: '127.0.0.1', port: proxy.port, path: BLOB, agent: false });
  client.end();
  const [response] = (await once(client, 'response')) as [IncomingMessage];
  t.equal(response.statusCode, 200);
  gate.resolve();
  await t.rejects(response.toArray(), { code: 'ECONNRESET' }, 'a failure after them cuts the connection');
});

await t.test('a source with fewer or more bytes than the blob has never makes a whole answer', async (t) => {
  for (const bytes of [BYTES.subarray(1), Buffer.concat([BYTES, BYTES]), Buffer.alloc(0)]) {
    const source: BlobSource = {
      async *open() {
        for (let at = 0; at < bytes.length; at += 70_000) yield bytes.subarray(at, at + 70_000);
      },
    };
    const { origin, proxy } = await start(t, { blobs: source });
    origin.answer = (_request, response) => send(response, 200, BYTES);
    const answer = await ask(proxy.port, BLOB);
    t.ok(answer.cut || answer.status === 502, `${bytes.length}: ${answer.status}`);
    const outcomes = (await proxy.metrics.pullSeconds.get()).values.map(({ labels }) => labels.outcome);
    t.same([...new Set(outcomes)], ['failed']);
  }
});

await t.test('closing lets a blob under way end', async (t) => {
  const gate = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const source: BlobSource = {
    async *open() {
      yield BYTES.subarray(0, 1_000_000);
      opened.resolve();
      await gate.promise;
      yield BYTES.subarray(1_000_000);
    },
  };
  const { origin, proxy } = await start(t, { blobs: source });
  origin.answer = (_request, response) => send(response, 200, BYTES);
  const pulling = ask(proxy.port, BLOB);
  await opened.promise;
  const closing = proxy.close();
  gate.resolve();
  t.same((await pulling).body, BYTES);
  await closing;
  await t.rejects(ask(proxy.port, BLOB), { code: 'ECONNREFUSED' });
});

await t.test('a listener for a registry that is not configured is refused at the start', async (t) => {
  const upstreams = [{ name: 'reg', url: 'http://127.0.0.1:1' }];
  await t.rejects(startProxy(upstreams, { defaultUpstream: 'other' }), { code: 'CONFIG_INVALID' });
  await t.rejects(startProxy(upstreams, { listeners: [{ host: '127.0.0.1', port: 0, upstream: 'x' }] }), {
    code: 'CONFIG_INVALID',
  });
});

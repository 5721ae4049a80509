import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { Upstream } from '../../lib/core/upstream.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { discard } from '../../lib/origin/exchange.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import { createUndiciExchange } from '../../lib/origin/http/undici-exchange.ts';
import type { OriginClient, OriginResponse } from '../../lib/origin/origin-client.ts';
import { askPatiently } from '../../lib/origin/patience.ts';
import { isForbiddenAddress } from '../../lib/origin/trust.ts';
import { upstreamUrls } from '../../lib/origin/upstream.ts';
import { findUpstreamName } from '../../lib/origin/upstream-pattern.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { startRelay } from '../helpers/relay.ts';

const missing = ['docker-registry', 'openssl'].filter((program) => !isInstalled(program));
const skip = missing.length === 0 ? false : `${missing.join(', ')} not installed`;
const BYTES = Buffer.from('a blob');
const DIGEST = digestOf(BYTES);
const signal = new AbortController().signal;

function clientOf(t: Test, upstream: Omit<Upstream, 'name'>, clock = createSystemClock()): OriginClient {
  const client = createOriginClient({ upstreams: [{ name: 'reg', ...upstream }], log: silentLog(), clock });
  t.teardown(() => client.close());
  return client;
}

async function read(client: OriginClient): Promise<string> {
  const origin = { upstream: 'reg', repository: 'a/b' };
  const body = await client.readBlob({ origin, digest: DIGEST }, { signal });
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

await t.test(
  'a registry with a certificate of its own is read with its CA, or when any will do',
  { skip },
  async (t) => {
    const tls = makeCertificate(t.testdir({}));
    const registry = await startDockerRegistry({ tls });
    t.teardown(() => registry.close());
    await registry.pushBlob('a/b', BYTES);
    const { url } = registry;
    t.equal(await read(clientOf(t, { url, ca: tls.cert })), BYTES.toString());
    t.equal(await read(clientOf(t, { url, insecureSkipVerify: true })), BYTES.toString());
    await t.rejects(read(clientOf(t, { url })), { code: 'UPSTREAM_UNREACHABLE' });
    const plain = await startFaultOrigin((_request, response) => {
      send(response, 307, '', { location: `${url}/v2/a/b/blobs/${DIGEST}` });
    });
    t.teardown(() => plain.close());
    await t.rejects(
      read(clientOf(t, { url: plain.url, insecureSkipVerify: true })),
      { code: 'UPSTREAM_UNREACHABLE' },
      'what it redirects to must still show a good certificate',
    );
  },
);

await t.test(
  'our own certificate is shown to a registry that asks for one, and to no other host',
  { skip },
  async (t) => {
    const folder = t.testdir({});
    const theirs = makeCertificate(folder, 'theirs');
    const ours = makeCertificate(folder, 'ours');
    const seen: string[] = [];
    const start = async (answer: (path: string) => string | undefined): Promise<string> => {
      const options = { cert: theirs.cert, key: theirs.key, ca: ours.cert, requestCert: true };
      const server = createTlsServer({ ...options, rejectUnauthorized: false }, (request, response) => {
        const { subject } = (request.socket as TLSSocket).getPeerCertificate();
        seen.push(subject === undefined ? 'nobody' : String(subject.CN));
        const location = answer(request.url ?? '');
        if (location === undefined) send(response, 200, BYTES);
        else send(response, 307, '', { location });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.teardown(() => {
        server.closeAllConnections();
        server.close();
      });
      return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    };
    const storage = await start(() => undefined);
    const url = await start(() => `${storage}/signed`);
    const own = { ca: theirs.cert, clientCert: ours.cert, clientKey: ours.key };
    t.equal(await read(clientOf(t, { url, ...own })), BYTES.toString());
    t.same(seen, ['ours', 'nobody']);
  },
);

await t.test(
  'several addresses of one registry are asked in order, the failing ones last until they have rested',
  { skip },
  async (t) => {
    const registry = await startDockerRegistry();
    await registry.pushBlob('a/b', BYTES);
    const [first, second] = [await startRelay(registry.url), await startRelay(registry.url)];
    t.teardown(async () => {
      await first.close();
      await second.close();
      await registry.close();
    });
    const system = createSystemClock();
    const shift = { ms: 0 };
    const clock = { ...system, now: () => system.now() + shift.ms };
    const client = clientOf(t, { url: first.url, replicas: [second.url] }, clock);
    const asked = (): [number, number] => [first.seen.splice(0).length, second.seen.splice(0).length];
    await read(client);
    t.same(asked(), [1, 0]);
    first.away = true;
    t.equal(await read(client), BYTES.toString(), 'the other one has it');
    t.same(asked(), [0, 1]);
    first.away = false;
    await read(client);
    t.same(asked(), [0, 1], 'the first one rests');
    shift.ms += 5_000;
    await read(client);
    t.same(asked(), [1, 0], 'and is asked first again');
    first.away = true;
    second.away = true;
    await t.rejects(read(client), { code: 'UPSTREAM_UNREACHABLE' });
  },
);

await t.test(
  "a gateway's word that nobody is there counts as a failure, a registry's refusal does not",
  async (t) => {
    const second = await startFaultOrigin((_request, response) => send(response, 200, BYTES));
    const first = await startFaultOrigin();
    t.teardown(async () => {
      await first.close();
      await second.close();
    });
    const client = clientOf(t, { url: first.url, replicas: [second.url] }, new FakeClock());
    first.answer = (_request, response) => send(response, 404, '');
    await t.rejects(read(client), { code: 'UPSTREAM_REFUSED', facts: { status: 404 } });
    t.equal(second.seen.length, 0);
    first.answer = (_request, response) => send(response, 502, '');
    t.equal(await read(client), BYTES.toString());
    const push = { upstream: 'reg', method: 'POST', path: '/v2/a/b/blobs/uploads/', headers: {} };
    second.answer = (_request, response) => send(response, 502, '');
    const body = (async function* () {
      yield BYTES;
    })();
    const before = first.seen.length + second.seen.length;
    await discard(await client.request({ ...push, body }, { signal }));
    t.equal(first.seen.length + second.seen.length, before + 1, 'what has a body is sent once');
  },
);

await t.test('each address has its own tokens', async (t) => {
  const startOne = async (name: string) => {
    const origin = await startFaultOrigin((request, response) => {
      if (request.url?.startsWith('/token') === true) send(response, 200, `{"token":"${name}"}`);
      else if (request.headers.authorization === `Bearer ${name}`) send(response, 200, BYTES);
      else send(response, 401, '', { 'www-authenticate': `Bearer realm="${origin.url}/token"` });
    });
    t.teardown(() => origin.close());
    return origin;
  };
  const [first, second] = [await startOne('one'), await startOne('two')];
  const client = clientOf(t, { url: first.url, replicas: [second.url] }, new FakeClock());
  await read(client);
  first.answer = (_request, response) => send(response, 503, '');
  t.equal(await read(client), BYTES.toString());
  t.notOk(second.seen.some(({ headers }) => headers.authorization === 'Bearer one'));
});

await t.test(
  'a registry that is busy is asked again within 4 s, later each time and never at the same moment',
  async (t) => {
    const run = async (statuses: readonly [number, string?][], seed: number) => {
      const clock = new FakeClock();
      const times: number[] = [];
      const left = [...statuses];
      const ask = async (): Promise<OriginResponse> => {
        times.push(clock.now());
        const [status, after] = left.shift() ?? [200];
        const body = (async function* () {})();
        return { status, headers: after === undefined ? {} : { 'retry-after': after }, body };
      };
      const asking = askPatiently({ clock, rng: createRng(seed) }, ask, signal);
      let done = false;
      void asking.finally(() => {
        done = true;
      });
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve));
        if (done) return { status: (await asking).status, times };
        clock.advanceToNext();
      }
    };
    const twice = await run([[429], [503]], 1);
    t.equal(twice.status, 200);
    t.equal(twice.times.length, 3);
    t.not((await run([[429]], 2)).times[1], (await run([[429]], 3)).times[1], 'spread');
    const told = await run([[429, '2']], 1);
    t.ok((told.times[1] ?? 0) >= 2_000, 'not before its Retry-After');
    const late = await run([[429, '30']], 1);
    t.same(late, { status: 429, times: [0] }, 'too late for any client: the answer as it is');
    const always = await run(
      Array.from({ length: 50 }, () => [503]),
      4,
    );
    t.equal(always.status, 503);
    t.ok((always.times.at(-1) ?? 0) <= 4_000);
    t.equal((await run([[500]], 1)).times.length, 1, 'a failure is no queue');

    let refusals = 2;
    const registry = await startFaultOrigin((_request, response) => {
      if (refusals-- > 0) send(response, 429, '{}');
      else send(response, 200, BYTES);
    });
    t.teardown(() => registry.close());
    const head = { upstream: 'reg', method: 'GET', path: '/v2/a/b/manifests/1', headers: {} };
    const answer = await clientOf(t, { url: registry.url }).request(head, { signal });
    t.equal(answer.status, 200);
    t.equal(registry.seen.length, 3);
    await discard(answer);
  },
);

await t.test(
  'an allow-list with patterns holds host names, and no address however it is written',
  async (t) => {
    const names = ['harbor.corp', '10.0.0.5:5000', '*.gcr.io', '*.pkg.dev', '*.corp:5000'];
    for (const [asked, found] of [
      ['harbor.corp', 'harbor.corp'],
      ['10.0.0.5:5000', '10.0.0.5:5000'],
      ['eu.gcr.io', '*.gcr.io'],
      ['a.b.gcr.io', '*.gcr.io'],
      ['europe-docker.pkg.dev', '*.pkg.dev'],
      ['x.corp:5000', '*.corp:5000'],
    ] as const) {
      t.equal(findUpstreamName(names, asked), found, asked);
    }
    const outside = [
      'gcr.io',
      '.gcr.io',
      'eu.gcr.io:5000',
      'eu.gcr.io.evil.com',
      'evilgcr.io',
      'x.corp',
      '*.gcr.io',
    ];
    for (const asked of [...outside, 'eu.gcr.io/x', 'user@eu.gcr.io', 'EU.gcr.io', '', '10.0.0.6:5000']) {
      t.equal(findUpstreamName(names, asked), undefined, asked);
    }
    const addresses = [
      '169.254.169.254',
      '127.0.0.1',
      '10.1.2.3',
      '2130706433',
      '0x7f.0.0.1',
      '127.1',
      'localhost',
    ];
    for (const asked of [
      ...addresses,
      'a.localhost',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '1.2.3.0x4',
      '017700000001',
    ]) {
      t.equal(findUpstreamName(['*'], asked), undefined, `case 46: ${asked}`);
    }
    t.equal(findUpstreamName(['*'], 'quay.io'), '*');
    const [url] = upstreamUrls({ name: '*.gcr.io', url: 'https://*/path' }, 'eu.gcr.io');
    t.equal(url?.href, 'https://eu.gcr.io/path');
  },
);

await t.test('case 46: a name that leads to a forbidden address is not connected to', async (t) => {
  for (const [address, always, strictly] of [
    ['169.254.169.254', true, true],
    ['fe80::1%eth0', true, true],
    ['::ffff:169.254.1.1', true, true],
    ['127.0.0.1', false, true],
    ['::1', false, true],
    ['::', false, true],
    ['0.0.0.0', false, true],
    ['::ffff:127.0.0.1', false, true],
    ['10.0.0.1', false, false],
    ['2001:db8::1', false, false],
  ] as const) {
    t.equal(isForbiddenAddress(address, false), always, address);
    t.equal(isForbiddenAddress(address, true), strictly, `${address}, strictly`);
  }
  const origin = await startFaultOrigin((_request, response) => send(response, 200, BYTES));
  t.teardown(() => origin.close());
  const url = new URL(origin.url.replace('127.0.0.1', 'localhost'));
  const limits = { connectTimeoutMs: 5_000, headersTimeoutMs: 5_000, bodyTimeoutMs: 5_000, ownHosts: [] };
  for (const [redirectsMayBeOwn, code] of [
    [false, 'UPSTREAM_UNREACHABLE'],
    [true, undefined],
  ] as const) {
    const connections = createUndiciExchange({}, { ...limits, mayBeOwn: false, redirectsMayBeOwn });
    t.teardown(() => connections.close());
    const asking = connections.exchange({ kind: 'other', method: 'GET', url, headers: {} }, signal);
    if (code === undefined) await discard(await asking);
    else await t.rejects(asking, { code, message: /leads to an address/ });
  }
  t.equal(origin.seen.length, 1);
});

await t.test('case 13: the Docker registry is asked at its API host, by whichever name', async (t) => {
  for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io']) {
    const [url] = upstreamUrls({ name: 'docker.io', url: `https://${host}` });
    t.equal(url?.host, 'registry-1.docker.io', host);
  }
  t.equal(upstreamUrls({ name: 'docker.io', url: 'https://mirror.corp' })[0]?.host, 'mirror.corp');
});

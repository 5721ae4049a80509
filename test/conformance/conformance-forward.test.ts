import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import t, { type Test } from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { openAuthority } from '../../registry-proxy/forward/authority.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { ask } from '../registry-proxy/fixture.ts';
import { putImage, sentOf, TYPES } from './case.ts';
import { type Ground, startGround, startGroundAt } from './ground.ts';
import { askThrough, connectThrough, say, secureThrough } from './proxy-client.ts';
import { type ScriptedRegistry, startScriptedRegistry } from './scripted-registry.ts';

const NEVER = new AbortController().signal;

async function start(
  t: Test,
  forwardRules: readonly string[] = [],
): Promise<{ registry: ScriptedRegistry; ground: Ground }> {
  const registry = await startScriptedRegistry();
  const ground = await startGround({ upstreams: { 'registry.test': registry.url }, forwardRules });
  t.teardown(async () => {
    await ground.close();
    await registry.close();
  });
  return { registry, ground };
}

/** An https server that is nobody's registry, under a certificate of an authority of its own. */
async function startSecureServer(t: Test): Promise<{ readonly port: number; readonly ca: string }> {
  const authority = await openAuthority({ wallClockMs: Date.now }, t.testdir());
  const server = createServer(
    {
      SNICallback: (name, done) => {
        authority.contextFor(name, NEVER).then((context) => done(null, context), done);
      },
    },
    (request, response) => {
      response.end(`${request.method} ${request.url} over TLS`);
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return {
    port: (server.address() as AddressInfo).port,
    ca: await readFile(authority.certificateFile, 'utf8'),
  };
}

const skip = isInstalled('docker-registry') ? false : 'docker-registry is not installed';
await t.test(
  'case 15: pushes pass through the forward proxy, and what was pushed is pulled',
  { skip },
  async (t) => {
    const registry = await startDockerRegistry();
    const ground = await startGroundAt(t, registry);
    const at = 'https://registry.test';
    const bytes = randomBytes(3_000_000);
    const digest = digestOf(bytes);
    const begun = await askThrough(ground.forward, `${at}/v2/team/app/blobs/uploads/`, { method: 'POST' });
    t.equal(begun.status, 202);
    t.match(
      begun.headers['location'],
      /^\/v2\/team\/app\/blobs\/uploads\//,
      'it goes on where the client is',
    );
    const half = await askThrough(ground.forward, `${at}${begun.headers['location']}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/octet-stream' },
      body: bytes.subarray(0, 1_000_000),
    });
    t.match(half, { status: 202, headers: { range: '0-999999' } });
    const place = new URL(half.headers['location'] ?? '', at);
    place.searchParams.set('digest', digest);
    const done = await askThrough(ground.forward, place.href, {
      method: 'PUT',
      body: bytes.subarray(1_000_000),
    });
    t.match(done, { status: 201, headers: { 'docker-content-digest': digest } });
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: TYPES.image,
        config: { mediaType: TYPES.config, digest, size: bytes.length },
        layers: [],
      }),
    );
    const put = await askThrough(ground.forward, `${at}/v2/team/app/manifests/v1`, {
      method: 'PUT',
      headers: { 'content-type': TYPES.image },
      body: manifest,
    });
    t.equal(put.status, 201);
    t.same((await ask(ground.port, '/v2/team/app/manifests/v1')).body, manifest);
    t.ok((await ask(ground.port, `/v2/team/app/blobs/${digest}`)).body.equals(bytes));
    const gone = await askThrough(ground.forward, `${at}/v2/team/app/manifests/${digestOf(manifest)}`, {
      method: 'DELETE',
    });
    t.equal(gone.status, 202);
  },
);

await t.test(
  'pulls by HTTPS_PROXY and by HTTP_PROXY come from the swarm, under the rights of the caller',
  async (t) => {
    const { registry, ground } = await start(t);
    const bytes = randomBytes(900_000);
    registry.readers.set('team/app', new Set(['Bearer good']));
    const { digest, layers, manifest } = await putImage(registry, 'team/app', [bytes]);
    const good = { headers: { authorization: 'Bearer good' } };
    const path = `/v2/team/app/blobs/${layers[0]}`;
    const ping = await askThrough(ground.forward, 'https://registry.test/v2/');
    t.match(ping, { status: 200, headers: { 'docker-distribution-api-version': 'registry/2.0' } });
    const anonymous = await askThrough(ground.forward, `https://registry.test${path}`);
    t.match(anonymous, { status: 401, headers: { 'www-authenticate': registry.challenge('team/app') } });
    const answer = await askThrough(ground.forward, `https://registry.test/v2/team/app/manifests/v1`, good);
    t.match(answer, { status: 200, body: manifest, headers: { 'docker-content-digest': digest } });
    for (let pull = 0; pull < 3; pull++) {
      t.ok((await askThrough(ground.forward, `https://registry.test${path}`, good)).body.equals(bytes));
    }
    const plain = await say(
      ground.forward.port,
      `GET http://registry.test${path} HTTP/1.1\r\nHost: registry.test\r\nAuthorization: Bearer good\r\nConnection: close\r\n\r\n`,
    );
    t.match(plain, /^HTTP\/1\.1 200 /);
    t.ok(Buffer.from(plain.slice(plain.indexOf('\r\n\r\n') + 4), 'latin1').equals(bytes));
    t.same(sentOf(registry, layers[0] ?? ''), { bytes: bytes.length, again: 0 });
    registry.script = (request, response) => {
      response.writeHead(200, { 'x-service': request.url, 'set-cookie': 'sid=1' }).end('token');
      return true;
    };
    const token = await askThrough(ground.forward, 'https://registry.test/service/token?scope=a%3Ab');
    t.match(token, {
      status: 200,
      headers: { 'x-service': '/service/token?scope=a%3Ab', 'set-cookie': ['sid=1'] },
    });
  },
);

await t.test('other hosts are tunnelled untouched, or sent on as plain http', async (t) => {
  const { registry, ground } = await start(t);
  const server = await startSecureServer(t);
  const url = `https://localhost:${server.port}/x?y=1`;
  const answer = await askThrough({ port: ground.forward.port, ca: server.ca }, url);
  t.equal(answer.body.toString(), 'GET /x?y=1 over TLS');
  await t.rejects(askThrough(ground.forward, url), 'the certificate is the own one of the server, not ours');
  const plain = await say(
    ground.forward.port,
    `PUT http://${registry.host}/v2/ HTTP/1.1\r\nHost: ignored\r\nProxy-Authorization: Basic eDp5\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi`,
  );
  t.match(plain, /^HTTP\/1\.1 200 /);
  const seen = registry.seen.at(-1);
  t.match(seen, { method: 'PUT', url: '/v2/', headers: { host: registry.host, 'content-length': '2' } });
  t.equal(seen?.headers['proxy-authorization'], undefined);
  const { status, socket } = await connectThrough(ground.forward.port, '127.0.0.1:1025');
  socket.destroy();
  t.equal(status, 502, 'nobody there');
  t.match(
    await say(ground.forward.port, 'GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
    / 400 /,
  );
});

await t.test('rules: past the swarm, not even intercepted, https for http', async (t) => {
  const server = await startSecureServer(t);
  setDefaultCACertificates([...getCACertificates('default'), server.ca]);
  const { registry, ground } = await start(t, [
    'direct ^https://registry\\.test/v2/secret/',
    `use-https ^http://localhost:${server.port}/`,
  ]);
  for (const [repository, again] of [
    ['secret/app', 300_000],
    ['team/app', 0],
  ] as const) {
    const { layers } = await putImage(registry, repository, [randomBytes(300_000)]);
    for (let pull = 0; pull < 2; pull++) {
      const url = `https://registry.test/v2/${repository}/blobs/${layers[0]}`;
      t.equal((await askThrough(ground.forward, url)).status, 200);
    }
    t.equal(sentOf(registry, layers[0] ?? '').again, again, repository);
  }
  const upgraded = await say(
    ground.forward.port,
    `GET http://localhost:${server.port}/z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  );
  t.match(upgraded, /GET \/z over TLS/);

  const all = await start(t, ['direct .']);
  const { status, socket } = await connectThrough(all.ground.forward.port, 'registry.test:443');
  socket.destroy();
  t.equal(status, 502, 'a name that nobody resolves: it was tried');
});

const noCurl = isInstalled('curl') ? false : 'curl is not installed';
await t.test(
  'a client that does not trust the authority is told of in the log',
  { skip: noCurl },
  async (t) => {
    const { ground } = await start(t);
    const proxy = `http://127.0.0.1:${ground.forward.port}`;
    const { code } = await run('curl', ['--silent', '--proxy', proxy, 'https://registry.test/v2/']);
    t.equal(code, 60, 'curl: the certificate cannot be checked');
    t.match(ground.log(), /must trust .*forward-proxy\/ca\.crt/);
    const trusting = await secureThrough(ground.forward.port, 'registry.test:443', ground.forward.ca);
    t.equal(trusting.getPeerCertificate().subjectaltname, 'DNS:registry.test');
    trusting.destroy();
  },
);

await t.test('everything over IPv6: listeners, registry, peers, forward proxy', async (t) => {
  const registry = await startScriptedRegistry('::1');
  const ground = await startGround({
    upstreams: { 'registry.test': registry.url },
    defaultUpstream: 'registry.test',
    host: '::1',
  });
  t.teardown(async () => {
    await ground.close();
    await registry.close();
  });
  const bytes = randomBytes(700_000);
  const { digest, layers } = await putImage(registry, 'team/app', [bytes]);
  const at = { host: '::1' };
  t.equal((await ask(ground.port, '/v2/team/app/manifests/v1', at)).headers['docker-content-digest'], digest);
  t.ok((await ask(ground.port, `/v2/team/app/blobs/${layers[0]}`, at)).body.equals(bytes));
  const part = await ask(ground.port, `/v2/team/app/blobs/${layers[0]}`, {
    ...at,
    headers: { range: 'bytes=-9' },
  });
  t.ok(part.body.equals(bytes.subarray(-9)));
  const forward = { ...ground.forward, host: '::1' };
  const url = `https://registry.test/v2/team/app/blobs/${layers[0]}`;
  t.ok((await askThrough(forward, url)).body.equals(bytes));
  t.same(sentOf(registry, layers[0] ?? ''), { bytes: bytes.length, again: 0 });
});

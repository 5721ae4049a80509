import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { imageManifest, isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { type FaultOrigin, send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { ask, errorCode, type ProxyFixture, startProxy } from './fixture.ts';

const BYTES = Buffer.from('private bytes');
const DIGEST = digestOf(BYTES);
const CONFIG = { digest: digestOf(Buffer.from('{}')), size: 2 };
const CHALLENGE = 'Bearer realm="https://auth.corp/token",service="reg",scope="repository:a/b:pull"';

/** A registry with rights: each Authorization may read some repositories; everyone may read `public`. */
async function start(t: Test): Promise<{
  origin: FaultOrigin;
  proxy: ProxyFixture;
  rights: Record<string, string[]>;
  served: { manifest: Buffer };
}> {
  const rights: Record<string, string[]> = { 'Bearer alice': ['a/b'], 'Bearer bob': [] };
  const layers = [{ digest: DIGEST, size: BYTES.length }];
  const served = { manifest: Buffer.from(JSON.stringify(imageManifest(CONFIG, layers))) };
  const origin = await startFaultOrigin((request, response) => {
    const [, repository = '', kind] = /^\/v2\/(.+)\/(manifests|blobs)\//.exec(request.url ?? '') ?? [];
    const readable = repository === 'public' ? [repository] : rights[request.headers.authorization ?? ''];
    if (readable === undefined) {
      send(response, 401, '{"errors":[{"code":"UNAUTHORIZED"}]}', { 'www-authenticate': CHALLENGE });
    } else if (!readable.includes(repository)) send(response, 403, '{"errors":[{"code":"DENIED"}]}');
    else if (kind === 'manifests') {
      send(response, 200, served.manifest, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' });
    } else send(response, 200, BYTES);
  });
  const proxy = await startProxy([{ name: 'reg', url: origin.url }], { defaultUpstream: 'reg' });
  t.teardown(async () => {
    await proxy.close();
    await origin.close();
  });
  return { origin, proxy, rights, served };
}

const alice = { headers: { authorization: 'Bearer alice' } };
const bob = { headers: { authorization: 'Bearer bob' } };
const BLOB = `/v2/a/b/blobs/${DIGEST}`;

await t.test('what one caller may read opens nothing to another', async (t) => {
  const { proxy } = await start(t);
  t.same((await ask(proxy.port, BLOB, alice)).body, BYTES);
  const anonymous = await ask(proxy.port, BLOB);
  t.match(anonymous, { status: 401, headers: { 'www-authenticate': CHALLENGE } });
  t.equal(errorCode(anonymous), 'UNAUTHORIZED');
  const denied = await ask(proxy.port, BLOB, bob);
  t.equal(denied.status, 403);
  t.equal(errorCode(denied), 'DENIED');
  const head = await ask(proxy.port, BLOB, { ...bob, method: 'HEAD' });
  t.match(head, { status: 403, body: Buffer.alloc(0) });
  for (const { body } of [anonymous, denied]) t.notOk(body.includes(BYTES));
});

await t.test('the same blob in a public repository does not open the private one', async (t) => {
  const { proxy } = await start(t);
  t.equal((await ask(proxy.port, `/v2/public/blobs/${DIGEST}`)).status, 200);
  t.equal((await ask(proxy.port, BLOB)).status, 401);
});

await t.test("a manifest's own refusal is passed on, challenge and all", async (t) => {
  const { origin, proxy } = await start(t);
  const anonymous = await ask(proxy.port, '/v2/a/b/manifests/v1', {
    headers: { 'user-agent': 'docker/20.10', accept: 'x/y' },
  });
  t.match(anonymous, { status: 401, headers: { 'www-authenticate': CHALLENGE } });
  t.equal(errorCode(anonymous), 'UNAUTHORIZED');
  t.match(origin.seen[0]?.headers, { 'user-agent': 'docker/20.10', accept: 'x/y', authorization: undefined });
  t.equal((await ask(proxy.port, '/v2/a/b/manifests/v1', bob)).status, 403);
  t.equal(
    (await ask(proxy.port, '/v2/a/b/manifests/v1', alice)).status,
    200,
    'the token that the challenge led to',
  );
});

await t.test(
  'case 35: a verdict is asked once for many, remembered for a minute, and a right that ended ends with it',
  async (t) => {
    const { origin, proxy, rights } = await start(t);
    const heads = () => origin.seen.filter(({ method }) => method === 'HEAD').length;
    const all = await Promise.all(Array.from({ length: 20 }, () => ask(proxy.port, BLOB, alice)));
    t.same(new Set(all.map(({ status }) => status)), new Set([200]));
    t.equal(heads(), 1);
    rights['Bearer alice'] = [];
    t.equal((await ask(proxy.port, BLOB, { ...alice, method: 'HEAD' })).status, 200, 'within the minute');
    proxy.clock.shiftMs += 60_000;
    t.equal((await ask(proxy.port, BLOB, { ...alice, method: 'HEAD' })).status, 403);
    rights['Bearer alice'] = ['a/b'];
    t.equal((await ask(proxy.port, BLOB, alice)).status, 403, 'a refusal stands for 5 s');
    proxy.clock.shiftMs += 5_001;
    t.equal((await ask(proxy.port, BLOB, alice)).status, 200);
    const { values } = await proxy.metrics.authorization.get();
    t.match(Object.fromEntries(values.map(({ labels, value }) => [labels.verdict, value])), {
      allowed: 2,
      refused: 1,
    });
  },
);

await t.test(
  "when the source is refused the registry's answer of now is given, not the remembered one",
  async (t) => {
    const { proxy, rights } = await start(t);
    t.equal((await ask(proxy.port, BLOB, { ...alice, method: 'HEAD' })).status, 200);
    delete rights['Bearer alice'];
    t.match(await ask(proxy.port, BLOB, alice), { status: 401, headers: { 'www-authenticate': CHALLENGE } });
  },
);

await t.test(
  'a manifest opens the layers it lists, for its reader only, and none whose bytes live elsewhere',
  async (t) => {
    const { origin, proxy, served } = await start(t);
    t.equal((await ask(proxy.port, '/v2/a/b/manifests/v1', alice)).status, 200);
    const before = origin.seen.length;
    t.equal((await ask(proxy.port, BLOB, { ...alice, method: 'HEAD' })).status, 200);
    t.equal(origin.seen.length, before, 'nothing asked');
    t.equal((await ask(proxy.port, BLOB, bob)).status, 403);

    const foreign = { digest: digestOf(Buffer.from('secret')), size: 6, urls: ['https://x/y'] };
    const typed = {
      digest: digestOf(Buffer.from('other')),
      size: 5,
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    };
    served.manifest = Buffer.from(JSON.stringify(imageManifest(CONFIG, [foreign, typed])));
    await ask(proxy.port, '/v2/a/b/manifests/v1', alice);
    const asked = origin.seen.length;
    await ask(proxy.port, `/v2/a/b/blobs/${foreign.digest}`, { ...alice, method: 'HEAD' });
    await ask(proxy.port, `/v2/a/b/blobs/${typed.digest}`, { ...alice, method: 'HEAD' });
    t.equal(origin.seen.length, asked + 2, 'both were asked of the registry');
  },
);

await t.test(
  'an image that lies about the size of a layer keeps nobody from the others that have it',
  async (t) => {
    const { proxy, served } = await start(t);
    const right = served.manifest;
    const layers = [{ digest: DIGEST, size: BYTES.length + 1 }];
    const wrong = Buffer.from(JSON.stringify(imageManifest(CONFIG, layers)));
    for (const order of [
      [wrong, right],
      [right, wrong, right],
      [wrong, wrong, right, right],
      [wrong, right, wrong],
      [right, wrong, wrong],
    ]) {
      for (const [index, manifest] of order.entries()) {
        served.manifest = manifest;
        t.equal((await ask(proxy.port, `/v2/a/b/manifests/v${index}`, alice)).status, 200);
      }
      const { body, headers, status } = await ask(proxy.port, BLOB, alice);
      t.same([status, headers['content-length'], body], [200, String(BYTES.length), BYTES]);
      proxy.clock.shiftMs += 31 * 60_000;
    }
  },
);

await t.test('a registry that takes no HEAD for blobs is asked for the first byte', async (t) => {
  const { origin, proxy } = await start(t);
  const answer = origin.answer;
  origin.answer = (request, response) => {
    if (request.method === 'HEAD') send(response, 403, '');
    else if (request.headers.range === 'bytes=0-0') {
      send(response, 206, BYTES.subarray(0, 1), { 'content-range': `bytes 0-0/${BYTES.length}` });
    } else answer(request, response);
  };
  t.same((await ask(proxy.port, BLOB, alice)).body, BYTES);
});

const skip =
  isInstalled('docker-registry') && isInstalled('htpasswd')
    ? false
    : 'docker-registry or htpasswd is not installed';
await t.test(
  "a real registry with passwords is pulled from with the caller's password and without it not",
  { skip },
  async (t) => {
    const registry = await startDockerRegistry({ user: 'carol', password: 'pw' });
    const proxy = await startProxy([{ name: 'reg', url: registry.url, username: 'carol', password: 'pw' }], {
      defaultUpstream: 'reg',
    });
    t.teardown(async () => {
      await proxy.close();
      await registry.close();
    });
    const layer = randomBytes(70_000);
    const { layers } = await registry.pushImage('a/b', 'v1', [layer]);
    const path = `/v2/a/b/blobs/${layers[0]}`;
    const carol = { headers: { authorization: registry.authorization ?? '' } };
    t.match(await ask(proxy.port, '/v2/'), { status: 401, headers: { 'www-authenticate': /^Basic / } });
    t.equal((await ask(proxy.port, '/v2/', carol)).status, 200);
    t.same((await ask(proxy.port, path, carol)).body, layer);
    for (const target of [path, '/v2/a/b/manifests/v1', '/v2/a/b/tags/list']) {
      t.equal(
        (await ask(proxy.port, target)).status,
        401,
        `${target}: configured credentials decide nothing`,
      );
    }
  },
);

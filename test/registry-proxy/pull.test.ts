import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { MANIFEST_ACCEPT } from '../../lib/oci/media-types.ts';
import { type DockerRegistry, isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { ask, errorCode, type ProxyFixture, startProxy } from './fixture.ts';

const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';

async function start(t: Test): Promise<{ registry: DockerRegistry; proxy: ProxyFixture }> {
  const registry = await startDockerRegistry();
  const upstreams = ['docker.io', 'harbor.corp'].map((name) => ({ name, url: registry.url }));
  const listeners = [
    { host: '127.0.0.1', port: 0 },
    { host: '127.0.0.1', port: 0, upstream: 'harbor.corp' },
  ];
  const proxy = await startProxy(upstreams, { listeners, defaultUpstream: 'docker.io' });
  t.teardown(async () => {
    await proxy.close();
    await registry.close();
  });
  return { registry, proxy };
}

const skip = isInstalled('docker-registry') ? false : 'docker-registry is not installed';

await t.test('pulling through the proxy from a real registry', { skip }, async (t) => {
  const { registry, proxy } = await start(t);
  const { port } = proxy;
  const layer = randomBytes(300_000);
  const image = await registry.pushImage('team/app', 'v1', [layer]);
  const direct = async (path: string) =>
    Buffer.from(
      await (await fetch(`${registry.url}${path}`, { headers: { accept: MANIFEST_ACCEPT } })).arrayBuffer(),
    );
  const blobPath = `/v2/team/app/blobs/${image.layers[0]}?ns=harbor.corp`;
  const counted = async (kind: string): Promise<number> => {
    const { values } = await proxy.metrics.originRequests.get();
    return values.filter(({ labels }) => labels.kind === kind).reduce((sum, { value }) => sum + value, 0);
  };

  await t.test("the version check is the registry's own", async (t) => {
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(port, '/v2/', { method });
      t.match(answer, { status: 200, headers: { 'docker-distribution-api-version': 'registry/2.0' } });
    }
  });

  await t.test(
    "HEAD of a tag tells digest, type and length; GET has exactly the registry's bytes",
    async (t) => {
      const head = await ask(port, '/v2/team/app/manifests/v1?ns=harbor.corp', { method: 'HEAD' });
      const get = await ask(port, '/v2/team/app/manifests/v1?ns=harbor.corp');
      t.equal(head.body.length, 0);
      const type = 'application/vnd.oci.image.manifest.v1+json';
      for (const { status, headers } of [head, get]) {
        t.equal(status, 200);
        t.match(headers, {
          'docker-content-digest': image.manifest,
          'content-type': type,
          'oci-namespace': 'harbor.corp',
        });
        t.equal(headers['content-length'], String(get.body.length));
      }
      t.equal(digestOf(get.body), image.manifest);
      t.same(get.body, await direct('/v2/team/app/manifests/v1'));
    },
  );

  await t.test(
    'manifests and indexes are had by digest, and one that a client has is not sent again',
    async (t) => {
      const child = await direct('/v2/team/app/manifests/v1');
      const entry = {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: image.manifest,
        size: child.length,
        platform: { os: 'linux', architecture: 'amd64' },
      };
      const index = await registry.pushManifest('team/app', 'multi', {
        schemaVersion: 2,
        mediaType: INDEX_TYPE,
        manifests: [entry],
      });
      for (const digest of [image.manifest, index]) {
        const headers = { accept: `${INDEX_TYPE}, application/vnd.oci.image.manifest.v1+json` };
        const answer = await ask(port, `/v2/team/app/manifests/${digest}`, { headers });
        t.equal(answer.status, 200);
        t.equal(digestOf(answer.body), digest);
        const again = await ask(port, `/v2/team/app/manifests/${digest}`, {
          headers: { ...headers, 'if-none-match': `"${digest}"` },
        });
        t.match(again, { status: 304, body: Buffer.alloc(0) });
      }
    },
  );

  await t.test('a tag that moved is seen by the next pull', async (t) => {
    await registry.pushImage('team/moving', 'v1', [Buffer.from('one')]);
    const before = await ask(port, '/v2/team/moving/manifests/v1');
    const { manifest } = await registry.pushImage('team/moving', 'v1', [Buffer.from('two')]);
    const after = await ask(port, '/v2/team/moving/manifests/v1');
    t.not(before.headers['docker-content-digest'], manifest);
    t.equal(after.headers['docker-content-digest'], manifest);
  });

  await t.test('a blob comes whole and exact, and HEAD tells of it without a body', async (t) => {
    const get = await ask(port, blobPath);
    t.equal(get.status, 200);
    t.same(get.body, layer);
    t.match(get.headers, {
      'content-length': '300000',
      'docker-content-digest': image.layers[0],
      etag: `"${image.layers[0]}"`,
      'accept-ranges': 'bytes',
      'oci-namespace': 'harbor.corp',
    });
    const head = await ask(port, blobPath, { method: 'HEAD' });
    t.match(head, {
      status: 200,
      headers: { 'content-length': '300000', 'docker-content-digest': image.layers[0] },
    });
    t.equal(head.body.length, 0);
    const config = await ask(port, `/v2/team/app/blobs/${image.config}?ns=harbor.corp`);
    t.equal(digestOf(config.body), image.config);
    const sent = await proxy.metrics.sentBytes.get();
    t.match(sent, { values: [{ labels: { to: 'client' }, value: 300_000 + config.body.length }] });
    t.match(
      (await proxy.metrics.pullSeconds.get()).values.some(({ labels }) => labels.outcome === 'complete'),
      true,
    );
  });

  await t.test('blobs of every small size come through, the empty one too', async (t) => {
    for (const size of [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1]) {
      const bytes = randomBytes(size);
      const digest = await registry.pushBlob('team/sizes', bytes);
      const answer = await ask(port, `/v2/team/sizes/blobs/${digest}`);
      t.equal(answer.status, 200, `${size}`);
      t.same(answer.body, bytes, `${size}`);
    }
  });

  await t.test('Range is answered to the byte', async (t) => {
    const cases: [string, number, number][] = [
      ['bytes=0-0', 0, 1],
      ['bytes=299999-', 299_999, 300_000],
      ['bytes=-5', 299_995, 300_000],
      ['bytes=100000-', 100_000, 300_000],
      ['bytes=10-19', 10, 20],
      ['bytes=0-999999', 0, 300_000],
    ];
    for (const [range, start, end] of cases) {
      const answer = await ask(port, blobPath, { headers: { range } });
      t.match(
        answer,
        {
          status: 206,
          headers: {
            'content-range': `bytes ${start}-${end - 1}/300000`,
            'content-length': String(end - start),
          },
        },
        range,
      );
      t.same(answer.body, layer.subarray(start, end), range);
    }
    const beyond = await ask(port, blobPath, { headers: { range: 'bytes=300000-' } });
    t.match(beyond, { status: 416, headers: { 'content-range': 'bytes */300000' } });
    const several = await ask(port, blobPath, { headers: { range: 'bytes=0-1,5-6' } });
    t.match(several, { status: 200, body: layer });
    const stale = await ask(port, blobPath, { headers: { range: 'bytes=0-1', 'if-range': '"other"' } });
    t.equal(stale.status, 200);
    const fresh = await ask(port, blobPath, {
      headers: { range: 'bytes=0-1', 'if-range': `"${image.layers[0]}"` },
    });
    t.equal(fresh.status, 206);
  });

  await t.test('a blob that the client has is not sent again', async (t) => {
    for (const tag of [`"${image.layers[0]}"`, `W/"${image.layers[0]}"`, '"x", *']) {
      t.match(
        await ask(port, blobPath, { headers: { 'if-none-match': tag } }),
        { status: 304, body: Buffer.alloc(0) },
        tag,
      );
    }
    t.equal((await ask(port, blobPath, { headers: { 'if-none-match': '"x"' } })).status, 200);
  });

  await t.test(
    'the registry is found by ns, by the path, by the listener and by default; docker.io gets its library',
    async (t) => {
      await registry.pushImage('library/busy', 'v1', [Buffer.from('b')]);
      const pinned = proxy.ports[1] ?? 0;
      for (const [at, path] of [
        [port, '/v2/team/app/manifests/v1?ns=harbor.corp'],
        [port, '/v2/harbor.corp/team/app/manifests/v1'],
        [pinned, '/v2/team/app/manifests/v1'],
        [port, '/v2/team/app/manifests/v1'],
        [port, '/v2/busy/manifests/v1'],
        [port, '/v2/busy/manifests/v1?ns=docker.io'],
        [port, '/v2/docker.io/busy/manifests/v1'],
      ] as const) {
        t.equal((await ask(at, path)).status, 200, path);
      }
      t.equal((await ask(pinned, '/v2/busy/manifests/v1')).status, 404);
      for (const path of [
        '/v2/a/manifests/v1?ns=quay.io',
        '/v2/quay.io/a/manifests/v1',
        '/v2/?ns=169.254.169.254',
      ]) {
        const answer = await ask(port, path);
        t.equal(answer.status, 404, path);
        t.equal(errorCode(answer), 'NAME_UNKNOWN', path);
        t.match(answer.body.toString(), /--upstream/);
      }
    },
  );

  await t.test(
    'tags are listed, and a page of the catalog leads on to the next one on the proxy',
    async (t) => {
      const tags = await ask(port, '/v2/team/app/tags/list?ns=harbor.corp');
      t.same((JSON.parse(tags.body.toString()) as { tags: string[] }).tags.sort(), ['multi', 'v1']);
      const first = await ask(port, '/v2/_catalog?n=1&ns=harbor.corp');
      const next = /^<(\/v2\/_catalog\?[^>]+)>; ?rel="next"$/.exec(String(first.headers['link']))?.[1] ?? '';
      t.match(next, /ns=harbor\.corp/);
      const pages = [first, await ask(port, next)].map(
        ({ body }) => (JSON.parse(body.toString()) as { repositories: string[] }).repositories,
      );
      t.same(
        pages.map(({ length }) => length),
        [1, 1],
      );
      t.not(pages[0]?.[0], pages[1]?.[0]);
    },
  );

  await t.test('what the registry does not have is told as the registry tells it', async (t) => {
    const missing = digestOf(Buffer.from('missing'));
    const manifest = await ask(port, '/v2/team/app/manifests/nope');
    t.match(manifest, { status: 404 });
    t.equal(errorCode(manifest), 'MANIFEST_UNKNOWN');
    const blob = await ask(port, `/v2/team/app/blobs/${missing}`);
    t.match(blob, { status: 404 });
    t.equal(errorCode(blob), 'BLOB_UNKNOWN');
    t.equal(
      (await ask(port, `/v2/team/app/referrers/${missing}`)).status,
      404,
      'unchanged: clients then look for a tag',
    );
  });

  await t.test('pushing is refused with a word on where to push', async (t) => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const answer = await ask(port, '/v2/team/app/blobs/uploads/', { method });
      t.match(answer, { status: 405, headers: { allow: 'GET, HEAD' } }, method);
      t.equal(errorCode(answer), 'UNSUPPORTED');
    }
  });

  await t.test('reading a manifest spares the questions about its layers', async (t) => {
    const { layers } = await registry.pushImage('team/once', 'v1', [randomBytes(10), randomBytes(11)]);
    await ask(port, '/v2/team/once/manifests/v1');
    const before = await counted('blob');
    for (const digest of layers) t.equal((await ask(port, `/v2/team/once/blobs/${digest}`)).status, 200);
    t.equal((await counted('blob')) - before, layers.length, 'one read each, no HEAD');
  });
});

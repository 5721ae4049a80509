import { mkdir, readFile, rename, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { blobPath, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { isLayoutAddress, parseLayoutAddress } from '../../lib/core/layout-address.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { readBody } from '../../lib/origin/exchange.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import { LayoutIndex } from '../../lib/origin/layout/layout-index.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { contractImage, imageOriginContract, type OriginStage } from '../contract/image-origin.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { S3_CREDENTIALS, startS3, uploadFolder } from '../helpers/s3-server.ts';

const { signal } = new AbortController();
const MIB = 1024 * 1024;

Object.assign(process.env, S3_CREDENTIALS);

function clientOf(
  t: Test,
  url: string,
  deps: Partial<Parameters<typeof createOriginClient>[0]> = {},
): OriginClient {
  const upstreams = [{ name: 'images', url }];
  const client = createOriginClient({ log: silentLog(), clock: createSystemClock(), ...deps, upstreams });
  t.teardown(() => client.close());
  return client;
}

async function setUp(t: Test): Promise<{ folder: string; image: GeneratedImage }> {
  const temporary = await tempFolder('layout');
  t.teardown(() => temporary[Symbol.asyncDispose]());
  const folder = join(temporary.path, 'images');
  return { folder, image: await contractImage(folder) };
}

async function refusal(client: OriginClient, path: string): Promise<unknown> {
  const answer = await client.request({ upstream: 'images', method: 'GET', path, headers: {} }, { signal });
  return { status: answer.status, body: JSON.parse(String(await readBody(answer, MIB))) as unknown };
}

t.test('a registry', { skip: isInstalled('docker-registry') ? false : 'no docker-registry' }, async (t) => {
  imageOriginContract(t, async (t): Promise<OriginStage> => {
    const { image } = await setUp(t);
    const registry = await startDockerRegistry();
    t.teardown(() => registry.close());
    for (const tag of ['v1', 'v1-again']) {
      await pushImage({ ...image, tag }, { registry: registry.url, repository: 'team/app' });
    }
    const client = clientOf(t, registry.url);
    return { client, upstream: 'images', repository: 'team/app', image };
  });
});

t.test('a folder', async (t) => {
  imageOriginContract(t, async (t): Promise<OriginStage> => {
    const { folder, image } = await setUp(t);
    return { client: clientOf(t, `oci:${folder}`), upstream: 'images', repository: 'team/app', image };
  });
});

t.test('a bucket', async (t) => {
  imageOriginContract(t, async (t): Promise<OriginStage> => {
    const { folder, image } = await setUp(t);
    const server = await startS3();
    t.teardown(() => server.close());
    await uploadFolder(server, folder);
    return { client: clientOf(t, server.url), upstream: 'images', repository: 'team/app', image };
  });
  t.test('one that is not there is unreachable', async (t) => {
    const server = await startS3();
    t.teardown(() => server.close());
    const client = clientOf(t, server.url.replace('s3://blobs', 's3://nowhere'));
    const ping = { upstream: 'images', method: 'GET', path: '/v2/', headers: {} };
    const unreachable = { code: 'UPSTREAM_UNREACHABLE', message: /nowhere/ };
    await t.rejects(client.request(ping, { signal }), unreachable);
    await server.close();
    const read = { origin: { upstream: 'images', repository: 'app' }, reference: 'v1' };
    await t.rejects(client.readManifest(read, { signal }), unreachable);
  });
});

t.test('a folder of layouts, each called as its repository', async (t) => {
  const { folder, image } = await setUp(t);
  const base = join(folder, '..', 'many');
  await mkdir(join(base, 'team'), { recursive: true });
  await rename(folder, join(base, 'team', 'app'));
  const client = clientOf(t, `oci:${base}`);
  const origin = { upstream: 'images', repository: 'team/app' };
  t.equal((await client.readManifest({ origin, reference: 'v1' }, { signal })).digest, image.manifest.digest);
  const { digest, size } = image.layers[0]!;
  t.equal((await client.readBlob({ origin, digest }, { signal })).size, size);
  t.match(await refusal(client, '/v2/other/manifests/v1'), {
    status: 404,
    body: { errors: [{ code: 'NAME_UNKNOWN', message: /no file oci-layout/ }] },
  });
  for (const repository of ['..', '../many/team/app', 'team%2Fapp', '%2e%2e/many/team/app']) {
    t.match(await refusal(client, `/v2/${repository}/manifests/v1`), { status: 404 }, repository);
  }
});

t.test('linked folders lead nowhere, but the place itself may be one', async (t) => {
  const { folder, image } = await setUp(t);
  const origin = { upstream: 'images', repository: 'team/app' };
  const { digest, size } = image.layers[0]!;
  const bytesRead = async (url: string): Promise<number> => {
    const body = await clientOf(t, url).readBlob({ origin, digest }, { signal });
    let bytes = 0;
    for await (const chunk of body.bytes) bytes += chunk.length;
    return bytes;
  };
  const place = join(folder, '..', 'place');
  await symlink(folder, place);
  t.equal(await bytesRead(`oci:${place}`), size);

  const refused = { code: 'UPSTREAM_UNREACHABLE', message: /links are not followed/ };
  const many = join(folder, '..', 'many');
  await mkdir(join(many, 'team'), { recursive: true });
  await symlink(folder, join(many, 'team', 'app'));
  const client = clientOf(t, `oci:${many}`);
  await t.rejects(client.readManifest({ origin, reference: 'v1' }, { signal }), refused, 'a repository');
  await t.rejects(bytesRead(`oci:${many}`), refused);

  const secret = join(folder, '..', 'secret');
  await rename(join(folder, 'blobs'), secret);
  await symlink(secret, join(folder, 'blobs'));
  await t.rejects(bytesRead(`oci:${folder}`), refused, 'the blobs of somebody else');
});

t.test('tags come page by page', async (t) => {
  const { folder } = await setUp(t);
  const client = clientOf(t, `oci:${folder}`);
  const page = async (query: string): Promise<unknown> => {
    const request = { upstream: 'images', method: 'GET', path: `/v2/app/tags/list?${query}`, headers: {} };
    const answer = await client.request(request, { signal });
    const { tags } = JSON.parse(String(await readBody(answer, MIB))) as { tags: string[] };
    return { tags, link: answer.headers['link'] };
  };
  const link = '</v2/app/tags/list?n=1&last=v1>; rel="next"';
  t.same(await page('n=1'), { tags: ['v1'], link });
  t.same(await page('n=1&last=v1'), { tags: ['v1-again'], link: undefined });
  t.same(await page('n=0'), { tags: [], link: undefined });
});

t.test('everybody reads what a layout has, nobody writes, and it is said aloud', async (t) => {
  const { folder, image } = await setUp(t);
  const metrics = createMetrics({ defaults: false });
  const client = clientOf(t, `oci:${folder}`, { metrics });
  t.equal(client.trust('images'), 'node');
  const origin = { upstream: 'images', repository: 'app', authorization: 'Bearer of-another-registry' };
  const { digest } = image.layers[0]!;
  t.ok(await client.readBlob({ origin, digest }, { signal }));
  t.equal(await client.isPublic({ origin, digest }, { signal }), false, 'it was given to us, not to anybody');
  const push = { upstream: 'images', method: 'POST', path: '/v2/app/blobs/uploads/', headers: {} };
  t.equal((await client.request(push, { signal })).status, 405);
  t.match(await metrics.originRequests.get(), {
    values: [{ labels: { kind: 'blob', status: '200' }, value: 1 }, { labels: { status: '405' } }],
  });
});

t.test('what is wrong with a layout is told, and never passed on', async (t) => {
  const { folder, image } = await setUp(t);
  const client = clientOf(t, `oci:${folder}`);
  const origin = { upstream: 'images', repository: 'app' };
  const read = (reference = 'v1'): Promise<unknown> => client.readManifest({ origin, reference }, { signal });
  const manifest = blobPath(folder, image.manifest.digest);
  const bytes = await readFile(manifest, 'utf8');

  await writeFile(manifest, bytes.replace('schemaVersion', 'SchemaVersion'));
  for (const reference of ['v1', image.manifest.digest]) {
    await t.rejects(read(reference), { code: 'UPSTREAM_BROKEN', message: /another digest than its name/ });
  }
  await writeFile(manifest, bytes);
  for (const { digest } of [image.config, ...image.layers]) {
    t.match(await refusal(client, `/v2/app/manifests/${digest}`), { status: 404 }, 'no manifest');
  }

  const layer = image.layers[0]!;
  await t.rejects(
    (async () => {
      const body = await client.readBlob({ origin, digest: layer.digest }, { signal });
      await truncate(blobPath(folder, layer.digest), 1000);
      for await (const chunk of body.bytes) t.ok(chunk.length <= 1000);
    })(),
    { code: 'UPSTREAM_BROKEN', message: /ends early/ },
  );
  await rename(manifest, `${manifest}.real`);
  await symlink(`${manifest}.real`, manifest);
  await t.rejects(read(), { code: 'UPSTREAM_UNREACHABLE', message: /links are not followed/ });

  await writeFile(join(folder, 'index.json'), '[]');
  await t.rejects(read(), { code: 'UPSTREAM_BROKEN', message: /no image index/ });
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}');
  await t.rejects(read(), { code: 'UPSTREAM_BROKEN', message: /not an OCI layout: oci-layout/ });
  const nowhere = clientOf(t, `oci:${folder}/nowhere`);
  const ping = { upstream: 'images', method: 'GET', path: '/v2/', headers: {} };
  await t.rejects(nowhere.request(ping, { signal }), { code: 'UPSTREAM_UNREACHABLE', message: /nothing at/ });
});

t.test('a media type that cannot stand in a header goes into none', async (t) => {
  const { folder, image } = await setUp(t);
  const path = join(folder, 'index.json');
  const index = await readFile(path, 'utf8');
  const { digest, mediaType } = image.manifest;
  for (const wrong of ['a/b\r\nset-cookie: x', 'a/\u2603', 'nothing', 'a/b; c=d']) {
    await writeFile(path, index.replaceAll(JSON.stringify(mediaType), JSON.stringify(wrong)));
    const read = { origin: { upstream: 'images', repository: 'app' }, reference: 'v1' };
    const manifest = await clientOf(t, `oci:${folder}`).readManifest(read, { signal });
    t.match(manifest, { digest, mediaType }, JSON.stringify(wrong));
  }
});

t.test('a disk that fails is told, and one that hangs is not waited for', async (t) => {
  const clock = new FakeClock();
  const disk = createMemoryDisk();
  const client = clientOf(t, 'oci:/images', { clock, disk });
  const read = { origin: { upstream: 'images', repository: 'app' }, digest: digestOf(Buffer.from('x')) };
  disk.fail(['size'], 'EIO');
  await t.rejects(client.readBlob(read, { signal }), { code: 'UPSTREAM_UNREACHABLE', message: /EIO/ });
  const hanging = clientOf(t, 'oci:/images', { clock, disk: { ...disk, size: () => new Promise(() => {}) } });
  const refused = t.rejects(hanging.readBlob(read, { signal }), {
    code: 'UPSTREAM_UNREACHABLE',
    message: /did not answer within 10000 ms/,
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(clock.advanceToNext());
  await refused;
});

t.test('which image a name means', async (t) => {
  const digest = (n: number): string => `sha256:${String(n).repeat(64)}`;
  const entry = (n: number, annotations?: Record<string, string>): object => ({
    ...{ mediaType: 'm', digest: digest(n), size: 5 },
    ...(annotations === undefined ? {} : { annotations }),
  });
  const index = (...manifests: object[]): LayoutIndex =>
    LayoutIndex.parse(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })))!;
  const REF = 'org.opencontainers.image.ref.name';
  const NAME = 'io.containerd.image.name';
  const some = index(
    entry(1, { [REF]: 'v1' }),
    entry(2, { [REF]: 'team/app:v2' }),
    entry(3, { [NAME]: 'harbor.corp:5000/team/app:v3', [REF]: 'v3' }),
    entry(4, { [REF]: 'app:v4' }),
    entry(5, { [REF]: 'team/app' }),
    entry(6, { [REF]: 'Not A Name' }),
    entry(7),
  );
  const found = (repository: string, reference: string): string | undefined =>
    some.find(repository, reference)?.digest;
  t.equal(found('any/thing', 'v1'), digest(1), 'a tag alone is in every repository');
  t.equal(found('team/app', 'v2'), digest(2));
  t.equal(found('app', 'v2'), undefined);
  t.equal(found('team/app', 'v3'), digest(3), 'the registry that it came from does not count');
  t.equal(found('app', 'v3'), undefined);
  t.equal(found('app', 'v4'), digest(4));
  t.equal(found('team/app', 'latest'), digest(5));
  t.equal(found('app', 'latest'), undefined);
  t.equal(found('app', digest(7)), digest(7));
  t.same(some.tags('team/app'), ['latest', 'v1', 'v2', 'v3']);
  t.same(some.tags('app'), ['v1', 'v4']);
  t.equal(index(entry(7)).find('app', 'latest')?.digest, digest(7), 'one image without a name');
  t.equal(LayoutIndex.parse(Buffer.from('{}')), undefined);
});

t.test('places of layouts', async (t) => {
  t.same(parseLayoutAddress('oci:/srv/images/'), { kind: 'folder', folder: '/srv/images' });
  t.same(parseLayoutAddress('oci:///srv/my images'), { kind: 'folder', folder: '/srv/my images' });
  t.match(parseLayoutAddress('s3://b-b/p'), { kind: 'bucket', bucket: { bucket: 'b-b', prefix: 'p/' } });
  for (const wrong of [
    'oci:images',
    'oci://host/x',
    'oci:/srv/images:v1',
    'oci:/a/../b',
    's3://B',
    's3://u:p@blobs',
  ]) {
    t.ok(isLayoutAddress(wrong), wrong);
    t.equal(parseLayoutAddress(wrong), undefined, wrong);
  }
  t.notOk(isLayoutAddress('https://oci:5000'));
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { blobPath, createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { MANIFEST_ACCEPT } from '../../lib/oci/media-types.ts';
import { discard, readBody } from '../../lib/origin/exchange.ts';
import type { OriginClient, OriginResponse } from '../../lib/origin/origin-client.ts';

/** A place that has one image, and a client that knows it by this upstream. */
export interface OriginStage {
  readonly client: OriginClient;
  readonly upstream: string;
  readonly repository: string;
  readonly image: GeneratedImage;
}

const MIB = 1024 * 1024;
const MOST_BYTES = MIB;
const ABSENT = digestOf(Buffer.from('what nobody has'));

/** The image that the contract asks for, in a folder: it has two tags. */
export async function contractImage(folder: string): Promise<GeneratedImage> {
  const image = await createImage({ folder, tag: 'v1', totalBytes: 4 * MIB, layers: 2, seed: 'layout' });
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as {
    manifests: { annotations: Record<string, string> }[];
  };
  const [first] = index.manifests;
  const again = { 'org.opencontainers.image.ref.name': 'v1-again' };
  index.manifests.push({ ...first!, annotations: again });
  await writeFile(join(folder, 'index.json'), JSON.stringify(index));
  return image;
}

/** What everything must do that images are read from, a registry or not. */
export function imageOriginContract(t: Test, open: (t: Test) => Promise<OriginStage>): void {
  const { signal } = new AbortController();
  const setUp = async (t: Test) => {
    const { client, image, repository, upstream } = await open(t);
    const origin = { upstream, repository };
    const ask = (path: string, method = 'GET', more = {}): Promise<OriginResponse> => {
      const headers = { accept: `${MANIFEST_ACCEPT}, */*`, ...more };
      return client.request({ upstream, method, path: `/v2/${repository}/${path}`, headers }, { signal });
    };
    const read = async (part: { start?: number; end?: number; size?: number }, digest = ABSENT) => {
      const body = await client.readBlob({ origin, digest, ...part }, { signal });
      const chunks: Uint8Array[] = [];
      for await (const chunk of body.bytes) chunks.push(chunk);
      return { size: body.size, bytes: Buffer.concat(chunks) };
    };
    return { client, image, origin, ask, read };
  };

  t.test('a manifest by tag and by digest, by GET and by HEAD', async (t) => {
    const { ask, client, image, origin } = await setUp(t);
    const { digest, mediaType, size } = image.manifest;
    for (const reference of [image.tag, digest]) {
      const manifest = await client.readManifest({ origin, reference }, { signal });
      t.match(manifest, { digest, mediaType }, reference);
      t.equal(manifest.bytes.length, size);
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask(`manifests/${reference}`, method);
        t.equal(answer.status, 200);
        const headers = { 'content-type': mediaType, 'docker-content-digest': digest };
        t.match(answer.headers, { ...headers, 'content-length': String(size) }, `${method} ${reference}`);
        const body = await readBody(answer, MOST_BYTES);
        t.equal(body.length === 0 ? digest : digestOf(body), digest);
        t.equal(body.length, method === 'GET' ? size : 0);
      }
    }
  });

  t.test('a blob whole, from any byte on, and a part of it', async (t) => {
    const { ask, image, read } = await setUp(t);
    const { digest, size } = image.layers[0]!;
    const bytes = await readFile(blobPath(image.folder, digest));
    t.same(await read({}, digest), { size, bytes });
    t.same(await read({ start: 0, end: 2 }, digest), { size, bytes: bytes.subarray(0, 2) });
    t.same(await read({ start: size - 7 }, digest), { size, bytes: bytes.subarray(size - 7) });
    t.same(await read({ start: 70_000, end: size + 5 }, digest), { size, bytes: bytes.subarray(70_000) });
    const head = await ask(`blobs/${digest}`, 'HEAD');
    t.match(head, { status: 200, headers: { 'content-length': String(size) } });
    await discard(head);
    const part = await ask(`blobs/${digest}`, 'GET', { range: 'bytes=5-8' });
    t.match(part, {
      status: 206,
      headers: { 'content-length': '4', 'content-range': `bytes 5-8/${size}` },
    });
    t.same(Buffer.from(await readBody(part, MOST_BYTES)), bytes.subarray(5, 9));
    const beyond = await ask(`blobs/${digest}`, 'GET', { range: `bytes=${size}-` });
    t.equal(beyond.status, 416);
    await discard(beyond);
  });

  t.test('what is not there is refused with 404', async (t) => {
    const { ask, client, image, origin, read } = await setUp(t);
    for (const path of ['manifests/nowhere', `manifests/${ABSENT}`, `blobs/${ABSENT}`]) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask(path, method);
        t.equal(answer.status, 404, `${method} ${path}`);
        const body = await readBody(answer, MOST_BYTES);
        if (method === 'GET') t.match(JSON.parse(String(body)), { errors: [{ code: /_UNKNOWN$/ }] });
      }
    }
    const notThere = { code: 'UPSTREAM_REFUSED', facts: { status: 404 } };
    await t.rejects(read({}), notThere);
    await t.rejects(client.readManifest({ origin, reference: 'nowhere' }, { signal }), notThere);
    const { digest, size } = image.layers[0]!;
    await t.rejects(read({ size: size + 1 }, digest), { code: 'UPSTREAM_BROKEN' });
  });

  t.test('its tags, and that it is there at all', async (t) => {
    const { client, image, origin } = await setUp(t);
    t.same(await client.readTags(origin, { signal }), [image.tag, `${image.tag}-again`]);
    const { upstream } = origin;
    const ping = await client.request({ upstream, method: 'GET', path: '/v2/', headers: {} }, { signal });
    t.equal(ping.status, 200);
    await discard(ping);
  });

  t.test('who gives up is let go', async (t) => {
    const { client, image, origin } = await setUp(t);
    const aborted = { signal: AbortSignal.abort() };
    await t.rejects(client.readManifest({ origin, reference: image.tag }, aborted), { code: 'ABORTED' });
    const gone = new AbortController();
    const { digest } = image.layers[0]!;
    const body = await client.readBlob({ origin, digest }, { signal: gone.signal });
    const begun = async (): Promise<void> => {
      for await (const chunk of body.bytes) if (chunk.length > 0) gone.abort();
    };
    await t.rejects(begun(), { code: 'ABORTED' });
  });
}

import { randomBytes } from 'node:crypto';
import { digestOf } from '../../lib/core/digest.ts';
import { ask, errorCode } from '../registry-proxy/fixture.ts';
import { freshRepository, putImage, type RegistryCase, TYPES } from './case.ts';

const KIB = 1024;

/** What every registry answers alike. */
export const pullCases: readonly RegistryCase[] = [
  {
    number: 1,
    title: 'GET and HEAD of /v2/',
    async run(t, { port }) {
      for (const method of ['GET', 'HEAD']) {
        for (const path of ['/v2/', '/v2']) {
          const answer = await ask(port, path, { method });
          const headers = { 'docker-distribution-api-version': 'registry/2.0' };
          t.match(answer, { status: 200, headers }, `${method} ${path}`);
        }
      }
    },
  },
  {
    number: 2,
    title: 'HEAD of a tag tells digest, type and length',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const { digest, manifest } = await putImage(registry, repository, [randomBytes(100)]);
      for (const reference of ['v1', digest]) {
        const answer = await ask(port, `/v2/${repository}/manifests/${reference}`, { method: 'HEAD' });
        const { status, headers, body } = answer;
        t.match([status, body.length, headers['docker-content-digest']], [200, 0, digest], reference);
        t.equal(headers['content-type'], TYPES.image);
        t.equal(headers['content-length'], String(manifest.length));
      }
    },
  },
  {
    number: 3,
    title: 'GET of a tag gives exactly the bytes of the registry',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const { digest, manifest } = await putImage(registry, repository, [randomBytes(100)]);
      const answer = await ask(port, `/v2/${repository}/manifests/v1`);
      t.same(answer.body, manifest);
      t.equal(digestOf(answer.body), answer.headers['docker-content-digest']);
      t.equal(answer.headers['docker-content-digest'], digest);
      // containerd 2.1 puts a Range on everything.
      const ranged = await ask(port, `/v2/${repository}/manifests/v1`, { headers: { range: 'bytes=0-' } });
      t.match(ranged, { status: /^20[06]$/, body: manifest });
    },
  },
  {
    number: 5,
    title: 'blobs of sizes around every border',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const piece = 256 * KIB;
      for (const size of [
        0,
        1,
        16 * KIB - 1,
        16 * KIB,
        16 * KIB + 1,
        piece - 1,
        piece,
        piece + 1,
        3 * piece,
      ]) {
        const bytes = randomBytes(size);
        const digest = await registry.blob(repository, bytes);
        const answer = await ask(port, `/v2/${repository}/blobs/${digest}`);
        t.equal(answer.status, 200, `${size} bytes`);
        t.equal(answer.headers['content-length'], String(size));
        t.ok(answer.body.equals(bytes), `${size} bytes are the registry's`);
        // Some clients put a Range on everything; an empty body has no first byte, and is still an answer.
        const open = await ask(port, `/v2/${repository}/blobs/${digest}`, { headers: { range: 'bytes=0-' } });
        t.equal(open.status, size === 0 ? 200 : 206, `open Range of ${size} bytes`);
        t.ok(open.body.equals(bytes));
      }
    },
  },
  {
    number: 6,
    title: 'Range: first, last, suffix, open, several, beyond the end, If-Range',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const size = 700_000;
      const bytes = randomBytes(size);
      const digest = await registry.blob(repository, bytes);
      const path = `/v2/${repository}/blobs/${digest}`;
      const table: readonly [string, number, number][] = [
        ['bytes=0-0', 0, 1],
        [`bytes=${size - 1}-${size - 1}`, size - 1, size],
        [`bytes=${size - 1}-`, size - 1, size],
        ['bytes=-1', size - 1, size],
        ['bytes=-47', size - 47, size],
        [`bytes=-${size + 5}`, 0, size],
        ['bytes=0-', 0, size],
        ['bytes=262143-262144', 262_143, 262_145],
        ['bytes=1000-', 1000, size],
        ['bytes=5-999999999', 5, size],
      ];
      for (const [range, start, end] of table) {
        const answer = await ask(port, path, { headers: { range } });
        t.equal(answer.status, 206, range);
        t.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/${size}`, range);
        t.equal(answer.headers['content-length'], String(end - start), range);
        t.ok(answer.body.equals(bytes.subarray(start, end)), range);
      }
      for (const range of [`bytes=${size}-`, `bytes=${size + 10}-${size + 20}`, 'bytes=-0']) {
        const answer = await ask(port, path, { headers: { range } });
        t.match(answer, { status: 416, headers: { 'content-range': `bytes */${size}` } }, range);
      }
      for (const range of ['bytes=0-1,5-6', 'bytes=5-1', 'lines=1-2', 'bytes=x']) {
        const answer = await ask(port, path, { headers: { range } });
        t.equal(answer.status, 200, range);
        t.ok(answer.body.equals(bytes), range);
      }
      const conditional = async (tag: string) =>
        (await ask(port, path, { headers: { range: 'bytes=0-1', 'if-range': tag } })).status;
      t.same([await conditional(`"${digest}"`), await conditional('"other"')], [206, 200], 'If-Range');
    },
  },
  {
    number: 7,
    title: 'HEAD of a blob has no body and starts no read',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const digest = await registry.blob(repository, randomBytes(300_000));
      const answer = await ask(port, `/v2/${repository}/blobs/${digest}`, { method: 'HEAD' });
      t.equal(answer.status, 200);
      t.equal(answer.body.length, 0);
      const headers = {
        'content-length': '300000',
        'docker-content-digest': digest,
        'accept-ranges': 'bytes',
      };
      t.match(answer.headers, headers);
      const missing = `/v2/${repository}/blobs/${digestOf(randomBytes(3))}`;
      t.match(await ask(port, missing, { method: 'HEAD' }), { status: 404, body: Buffer.alloc(0) });
      t.equal(errorCode(await ask(port, missing)), 'BLOB_UNKNOWN');
    },
  },
  {
    number: 8,
    title: 'ETag, and 304 for what the client has',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const { digest, layers } = await putImage(registry, repository, [randomBytes(1000)]);
      for (const [path, tag] of [
        [`/v2/${repository}/blobs/${layers[0]}`, layers[0]],
        [`/v2/${repository}/manifests/v1`, digest],
        [`/v2/${repository}/manifests/${digest}`, digest],
      ] as const) {
        const first = await ask(port, path);
        t.equal(first.headers['etag'], `"${tag}"`, path);
        const again = await ask(port, path, { headers: { 'if-none-match': first.headers['etag'] ?? '' } });
        t.match(again, { status: 304, body: Buffer.alloc(0) }, path);
        t.equal((await ask(port, path, { headers: { 'if-none-match': '"other"' } })).status, 200);
      }
    },
  },
  {
    number: 14,
    title: 'the registry is named by ns, in the path, or not at all; ns is said back',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const { digest } = await putImage(registry, repository, [randomBytes(10)]);
      for (const path of [
        `/v2/${repository}/manifests/v1?ns=registry.test`,
        `/v2/registry.test/${repository}/manifests/v1`,
        `/v2/${repository}/manifests/v1`,
      ]) {
        const answer = await ask(port, path);
        t.equal(answer.headers['docker-content-digest'], digest, path);
        t.equal(answer.headers['oci-namespace'], path.includes('?ns=') ? 'registry.test' : undefined);
      }
    },
  },
  {
    number: 15,
    title: 'a mirror takes no pushes, and says where they go',
    async run(t, { port }) {
      for (const [method, path] of [
        ['POST', '/v2/a/b/blobs/uploads/'],
        ['PATCH', '/v2/a/b/blobs/uploads/1'],
        ['PUT', '/v2/a/b/manifests/v1'],
        ['DELETE', '/v2/a/b/manifests/v1'],
      ] as const) {
        const answer = await ask(port, path, { method });
        t.equal(answer.status, 405, `${method} ${path}`);
        t.equal(errorCode(answer), 'UNSUPPORTED');
      }
    },
  },
  {
    number: 19,
    title: 'a tag that moved is seen by the next pull',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      for (const seed of ['one', 'two', 'one']) {
        const { digest } = await putImage(registry, repository, [Buffer.from(seed)]);
        for (const method of ['HEAD', 'GET']) {
          const answer = await ask(port, `/v2/${repository}/manifests/v1`, { method });
          t.equal(answer.headers['docker-content-digest'], digest, `${seed}, ${method}`);
        }
      }
    },
  },
];

import { digestOf } from '../../lib/core/digest.ts';
import { MAX_MANIFEST_BYTES } from '../../lib/oci/manifest.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { type Answer, ask } from '../registry-proxy/fixture.ts';
import { freshRepository, type ScriptedCase, TYPES } from './case.ts';
import { connectThrough, say } from './proxy-client.ts';

const METADATA = '169.254.169.254';

/** Requests and answers of those who mean no good. */
export const attackCases: readonly ScriptedCase[] = [
  {
    number: 43,
    title: 'names that leave their place are refused and reach no registry',
    async run(t, { port, registry }) {
      const before = registry.seen.length;
      for (const name of [
        '..',
        'a/../b',
        '%2e%2e',
        'a%2fb',
        'a//b',
        'a%00',
        'a%5cb',
        '%c0%ae',
        'a%0d%0ab',
        'A',
      ]) {
        for (const rest of ['manifests/v1', `blobs/${digestOf(Buffer.from('x'))}`, 'tags/list']) {
          t.equal((await ask(port, `/v2/${name}/${rest}`)).status, 400, `${name}/${rest}`);
        }
      }
      t.equal(registry.seen.length, before);
    },
  },
  {
    number: 44,
    title: 'names, tags and digests of a wrong form are refused; an unknown algorithm is not',
    async run(t, { port, registry }) {
      const hex = 'ab'.repeat(32);
      const before = registry.seen.length;
      for (const path of [
        `${'a'.repeat(256)}/manifests/v1`,
        `a/manifests/${'t'.repeat(129)}`,
        'a/blobs/sha256:12',
        `a/blobs/sha256:${hex.toUpperCase()}`,
        `a/blobs/SHA256:${hex}`,
        `a/blobs/sha512:${hex}`,
      ]) {
        t.equal((await ask(port, `/v2/${path}`)).status, 400, path);
      }
      t.equal(registry.seen.length, before);
      registry.script = (_request, response) => {
        send(response, 200, 'whatever');
        return true;
      };
      t.equal((await ask(port, `/v2/a/blobs/blake3:${hex}`)).body.toString(), 'whatever');
    },
  },
  {
    number: 45,
    title: 'headers that are injected, doubled or smuggled, and addresses that are not paths',
    async run(t, { port, registry, ground }) {
      const before = registry.seen.length;
      for (const at of [port, ground.forward.port]) {
        const get = 'GET /v2/a/manifests/v1 HTTP/1.1\r\n';
        for (const [request, why] of [
          [`${get}Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n`, 'two lengths'],
          [
            `${get}Host: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
            'length and chunks',
          ],
          [`${get}Host: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n`, 'chunks inside'],
          [`${get}\r\n`, 'no Host'],
          [`${get}Host: a\r\nHost: b\r\n\r\n`, 'two Hosts'],
          [`${get}Host: a\r\nX: a\rb\r\n\r\n`, 'a bare return'],
          ['GET /v2/ HTTP/1.1\r\nHost : a\r\n\r\n', 'a space in a name'],
        ] as const) {
          t.match(await say(at, request), /^HTTP\/1\.1 400 /, why);
        }
      }
      for (const path of [
        '/v2/a/manifests/v1?ns=x%0d%0aX:1',
        '/v2/?ns=a&ns=b',
        '/v2/a%0d%0aX:1/manifests/v1',
      ]) {
        t.match((await ask(port, path)).status, /^40[04]$/, path);
      }
      const absolute = `GET http://${registry.host}/v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`;
      t.match(await say(port, absolute), /^HTTP\/1\.1 400 /, 'a mirror is no proxy');
      t.equal(registry.seen.length, before);
    },
  },
  {
    number: 46,
    title: 'nobody is led to where they should not be: by ns, path, header, redirect or manifest',
    async run(t, { port, registry, ground }) {
      const inside = await startFaultOrigin((_request, response) => send(response, 200, 'secret'));
      t.teardown(() => inside.close());
      const innerPort = inside.host.split(':')[1];
      const names = [
        '127.0.0.1',
        'localhost',
        '2130706433',
        '0x7f.1',
        '[::ffff:127.0.0.1]',
        'user@127.0.0.1',
      ];
      for (const host of [...names.map((name) => `${name}:${innerPort}`), METADATA, '10.0.0.1']) {
        const encoded = encodeURIComponent(host);
        for (const path of [
          `/v2/a/manifests/v1?ns=${encoded}`,
          `/v2/?ns=${encoded}`,
          `/v2/${encoded}/a/tags/list`,
        ]) {
          const { status, body } = await ask(port, path);
          t.match(status, /^40[04]$/, path);
          t.notMatch(body.toString(), /secret/);
        }
        const headers = { 'x-dragonfly-registry': `http://${host}` };
        t.notMatch((await ask(port, '/v2/a/manifests/v1', { headers })).body.toString(), /secret/);
      }
      t.equal(inside.seen.length, 0, 'no configured upstream, no request');

      registry.script = (_request, response) => {
        response.writeHead(307, { location: `http://${METADATA}/latest/`, 'content-length': '0' }).end();
        return true;
      };
      t.equal((await ask(port, '/v2/a/manifests/v1')).status, 502, 'a redirect to the cloud');
      registry.script = undefined;

      const repository = freshRepository();
      const digest = digestOf(Buffer.from('secret'));
      const layer = { mediaType: TYPES.layer, digest, size: 6, urls: [`${inside.url}/x`] };
      const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [layer] }));
      await registry.manifest(repository, TYPES.image, manifest, 'v1');
      t.equal((await ask(port, `/v2/${repository}/manifests/v1`)).status, 200);
      t.equal((await ask(port, `/v2/${repository}/blobs/${digest}`)).status, 404);
      t.equal(inside.seen.length, 0, 'urls of a manifest are not followed');

      for (const target of [
        '127.0.0.1:22',
        `${METADATA}:80`,
        `[::ffff:${METADATA}]:80`,
        '2852039166:80',
        'a:0',
      ]) {
        const { status, socket } = await connectThrough(ground.forward.port, target);
        socket.destroy();
        t.match(status, /^40[03]$/, `CONNECT ${target}`);
      }
    },
  },
  {
    number: 47,
    title: 'a request that has come round is not sent round again',
    async run(t, { port, registry, ground }) {
      await ask(port, '/v2/a/manifests/v1');
      const via = registry.seen.at(-1)?.headers.via ?? '';
      t.match(via, /^1\.1 damselfly-/);
      const before = registry.seen.length;
      t.equal((await ask(port, '/v2/a/manifests/v1', { headers: { via: `1.0 other, ${via}` } })).status, 508);
      const plain = await say(
        ground.forward.port,
        `GET http://${registry.host}/x HTTP/1.1\r\nHost: a\r\nVia: ${via}\r\nConnection: close\r\n\r\n`,
      );
      t.match(plain, /^HTTP\/1\.1 508 /);
      t.equal(registry.seen.length, before);
    },
  },
  {
    number: 48,
    title: 'manifests too large, told or not, encoded, or of strange shapes',
    async run(t, { port, registry }) {
      const get = async (bytes: Buffer, headers?: Record<string, string>): Promise<Answer> => {
        registry.script = (_request, response) => {
          if (headers === undefined) response.writeHead(200).end(bytes);
          else send(response, 200, bytes, headers);
          return true;
        };
        return await ask(port, '/v2/a/b/manifests/v1');
      };
      const full = Buffer.alloc(MAX_MANIFEST_BYTES, ' ');
      full.write('{}');
      t.equal((await get(full, {})).body.length, full.length, '4 MiB pass');
      const over = Buffer.concat([full, Buffer.from(' ')]);
      t.equal((await get(over, {})).status, 502, 'a byte more');
      t.equal((await get(over)).status, 502, 'without a length');
      t.equal((await get(Buffer.alloc(100), { 'content-encoding': 'gzip' })).status, 502, 'encoded');
      const entry = JSON.stringify({ mediaType: 'x', digest: 'x', size: 1 });
      const index = Buffer.from(
        `{"manifests":[${Array.from({ length: 100_000 }, () => '{}').join()},${entry}]}`,
      );
      t.ok((await get(index, { 'content-type': TYPES.index })).body.equals(index), 'an index of 100,000');
      const deep = Buffer.from(`${'['.repeat(500_000)}${']'.repeat(500_000)}`);
      t.ok((await get(deep, {})).body.equals(deep), 'half a million levels');
    },
  },
  {
    number: 50,
    title: 'a registry that lies about the digest of a manifest',
    async run(t, { port, registry }) {
      const bytes = Buffer.from('{"schemaVersion":2,"layers":[]}');
      const lie = digestOf(Buffer.from('other'));
      registry.script = (_request, response) => {
        send(response, 200, bytes, { 'docker-content-digest': lie });
        return true;
      };
      for (const reference of ['v1', lie, digestOf(bytes)]) {
        t.equal((await ask(port, `/v2/a/b/manifests/${reference}`)).status, 502, reference);
      }
      const head = await ask(port, `/v2/a/b/manifests/${digestOf(bytes)}`, { method: 'HEAD' });
      t.equal(head.status, 502);
    },
  },
];

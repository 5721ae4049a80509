import { randomBytes } from 'node:crypto';
import { digestOf } from '../../lib/core/digest.ts';
import { send } from '../helpers/fault-origin.ts';
import { ask, errorCode, startProxy } from '../registry-proxy/fixture.ts';
import { freshRepository, putImage, type ScriptedCase, TYPES } from './case.ts';
import { startScriptedRegistry } from './scripted-registry.ts';

/** Answers of registries that a real one at hand does not give when it is wanted. */
export const registrySaysCases: readonly ScriptedCase[] = [
  {
    number: 1,
    title: 'a registry that wants to know who asks says so in its own words',
    async run(t, { port, registry }) {
      const challenge = 'Bearer realm="https://auth.corp/token",service="reg"';
      registry.script = (request, response) => {
        if (request.headers.authorization === 'Bearer good') send(response, 200, '{}');
        else send(response, 401, '{}', { 'www-authenticate': challenge });
        return true;
      };
      for (const method of ['GET', 'HEAD']) {
        const refused = await ask(port, '/v2/?ns=registry.test', { method });
        t.match(refused, { status: 401, headers: { 'www-authenticate': challenge } }, method);
        const headers = { authorization: 'Bearer good' };
        t.equal((await ask(port, '/v2/?ns=registry.test', { method, headers })).status, 200, method);
      }
    },
  },
  {
    number: 2,
    title: 'HEAD tells digest and length even where the registry leaves them out, or takes no HEAD',
    async run(t, { port, registry }) {
      const bytes = Buffer.from('{"schemaVersion":2,"layers":[]}');
      for (const head of ['bare', 'refused'] as const) {
        registry.script = (request, response) => {
          if (request.method === 'GET') send(response, 200, bytes, { 'content-type': TYPES.image });
          else if (head === 'refused') send(response, 405, '');
          else response.writeHead(200, { 'transfer-encoding': 'chunked' }).end();
          return true;
        };
        const answer = await ask(port, '/v2/a/b/manifests/v1', { method: 'HEAD' });
        t.equal(answer.status, 200, head);
        t.equal(answer.body.length, 0);
        t.match(answer.headers, {
          'docker-content-digest': digestOf(bytes),
          'content-length': String(bytes.length),
          'content-type': TYPES.image,
        });
      }
    },
  },
  {
    number: 4,
    title: 'manifests of every type, and of types nobody knows, byte for byte',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const json = (type: string, more: object): Buffer =>
        Buffer.from(`\n${JSON.stringify({ schemaVersion: 2, mediaType: type, ...more }, undefined, 1)} `);
      const artifact = 'application/vnd.oci.artifact.manifest.v1+json';
      for (const [type, bytes] of [
        [TYPES.schema2, json(TYPES.schema2, { layers: [] })],
        [TYPES.list, json(TYPES.list, { manifests: [] })],
        [TYPES.image, json(TYPES.image, { artifactType: 'application/vnd.acme.sbom', layers: [] })],
        [TYPES.index, json(TYPES.index, { manifests: [] })],
        [artifact, json(artifact, { blobs: [] })],
        ['application/vnd.docker.distribution.manifest.v1+prettyjws', Buffer.from('{"schemaVersion":1}')],
        ['application/vnd.acme.thing', Buffer.from([0xff, 0, 1, 2, 0xfe])],
        ['application/json', Buffer.from('null')],
      ] as const) {
        const digest = await registry.manifest(repository, type, bytes, 'v1');
        for (const reference of ['v1', digest]) {
          const answer = await ask(port, `/v2/${repository}/manifests/${reference}`);
          t.equal(answer.status, 200, `${type} by ${reference}`);
          t.ok(answer.body.equals(bytes), type);
          t.equal(answer.headers['content-type'], type);
          t.equal(answer.headers['docker-content-digest'], digest);
        }
      }
    },
  },
  {
    number: 4,
    title: 'a signed manifest of schema 1, whose digest is not that of its bytes',
    async run(t, { port, registry }) {
      const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
      const bytes = Buffer.from('{"schemaVersion":1,"signatures":[]}');
      const digest = digestOf(Buffer.from('its payload'));
      registry.script = (_request, response) => {
        send(response, 200, bytes, { 'content-type': type, 'docker-content-digest': digest });
        return true;
      };
      for (const reference of ['v1', digest]) {
        const answer = await ask(port, `/v2/a/b/manifests/${reference}`);
        t.match(answer, { status: 200, body: bytes, headers: { 'docker-content-digest': digest } });
      }
    },
  },
  {
    number: 5,
    title: 'a blob beyond 4 GiB: its length, and Ranges beyond it',
    async run(t, { registry }) {
      const size = 2 ** 32 + 9;
      registry.script = (request, response) => {
        const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
        if (request.method === 'HEAD') response.writeHead(200, { 'content-length': String(size) }).end();
        else {
          const body = Buffer.from('abcdefghi').subarray(start - 2 ** 32);
          send(response, 206, body, { 'content-range': `bytes ${start}-${size - 1}/${size}` });
        }
        return true;
      };
      // Without a swarm, which would go and fetch all of it.
      const proxy = await startProxy([{ name: 'reg', url: registry.url }], { defaultUpstream: 'reg' });
      t.teardown(() => proxy.close());
      const path = `/v2/a/b/blobs/${digestOf(randomBytes(3))}`;
      t.equal((await ask(proxy.port, path, { method: 'HEAD' })).headers['content-length'], String(size));
      const answer = await ask(proxy.port, path, { headers: { range: `bytes=${2 ** 32 + 2}-` } });
      t.equal(answer.headers['content-range'], `bytes ${2 ** 32 + 2}-${size - 1}/${size}`);
      t.equal(answer.body.toString(), 'cdefghi');
      const beyond = await ask(proxy.port, path, { headers: { range: `bytes=${size}-` } });
      t.equal(beyond.status, 416);
    },
  },
  {
    number: 9,
    title: 'a redirect to storage is followed here, without the credential, and its bytes are kept',
    async run(t, { port, registry, ground }) {
      const storage = await startScriptedRegistry();
      t.teardown(() => storage.close());
      const repository = freshRepository();
      const bytes = randomBytes(400_000);
      const digest = await registry.blob(repository, bytes);
      await storage.blob('bucket', bytes);
      registry.readers.set(repository, new Set(['Bearer mine']));
      registry.script = (request, response) => {
        const redirected = request.method === 'GET' && request.headers.authorization === 'Bearer mine';
        if (redirected) {
          const location = `${storage.url}/v2/bucket/blobs/${digest}?X-Amz-Signature=s1gned`;
          response.writeHead(307, { location, 'content-length': '0' }).end();
        }
        return redirected;
      };
      const headers = { authorization: 'Bearer mine', cookie: 'sid=1' };
      const path = `/v2/${repository}/blobs/${digest}`;
      const answer = await ask(port, path, { headers });
      t.equal(answer.status, 200);
      t.ok(answer.body.equals(bytes));
      t.ok(storage.seen.length > 0);
      for (const request of storage.seen) {
        t.match(request.headers, { authorization: undefined, cookie: undefined });
      }
      const before = storage.seen.length;
      t.ok((await ask(port, path, { headers })).body.equals(bytes));
      t.equal(storage.seen.length, before, 'the second pull is served from here');
      t.notMatch(ground.log(), /s1gned/);
    },
  },
  {
    number: 10,
    title: 'pages of tags lead from page to page on the proxy',
    async run(t, { port, registry }) {
      const pages = [['a', 'b'], ['c', 'd'], ['e']];
      registry.script = (request, response) => {
        const url = new URL(request.url ?? '', registry.url);
        const page = pages.findIndex(([first]) => (first ?? '') > (url.searchParams.get('last') ?? ''));
        const last = pages[page]?.at(-1) ?? '';
        const link = `<http://inside.corp${url.pathname}?n=2&last=${last}>; rel="next"`;
        const more = page < pages.length - 1 ? { link } : {};
        send(response, 200, JSON.stringify({ name: 'x', tags: pages[page] }), more);
        return true;
      };
      for (const begin of [
        '/v2/team/app/tags/list?n=2',
        '/v2/registry.test/team/app/tags/list?n=2',
        '/v2/team/app/tags/list?n=2&ns=registry.test',
      ]) {
        const tags: string[] = [];
        for (let next: string | undefined = begin; next !== undefined; ) {
          const answer = await ask(port, next);
          tags.push(...(JSON.parse(answer.body.toString()) as { tags: string[] }).tags);
          next = /^<(\/[^>]+)>; ?rel="next"$/.exec(String(answer.headers['link'] ?? ''))?.[1];
        }
        t.same(tags, ['a', 'b', 'c', 'd', 'e'], begin);
      }
      t.ok(registry.seen.filter(({ url }) => url.includes('tags')).every(({ url }) => !url.includes('ns=')));
    },
  },
  {
    number: 11,
    title: 'referrers: a list, a filtered list, an empty one, and 404 unchanged',
    async run(t, { port, registry }) {
      const subject = digestOf(Buffer.from('subject'));
      const list = JSON.stringify({ schemaVersion: 2, mediaType: TYPES.index, manifests: [] });
      registry.script = (request, response) => {
        const filtered = (request.url ?? '').includes('artifactType=');
        const headers = {
          'content-type': TYPES.index,
          ...(filtered ? { 'oci-filters-applied': 'artifactType' } : {}),
        };
        send(response, 200, list, headers);
        return true;
      };
      const path = `/v2/a/b/referrers/${subject}`;
      t.match(await ask(port, path), { status: 200, body: Buffer.from(list) });
      const filtered = await ask(port, `${path}?artifactType=application%2Fvnd.acme&ns=registry.test`);
      t.match(filtered.headers, { 'oci-filters-applied': 'artifactType', 'content-type': TYPES.index });
      t.equal(registry.seen.at(-1)?.url, `${path}?artifactType=application%2Fvnd.acme`);
      registry.script = undefined;
      const unknown = await ask(port, path);
      t.equal(unknown.status, 404, 'clients then look for a tag');
      t.equal(errorCode(unknown), 'MANIFEST_UNKNOWN');
    },
  },
  {
    number: 13,
    title: "docker.io's one-part names are in library, by whatever name docker.io goes",
    async run(t, { port, registry }) {
      const { digest } = await putImage(registry, 'library/busy', [randomBytes(5)]);
      for (const path of [
        '/v2/busy/manifests/v1?ns=docker.io',
        '/v2/library/busy/manifests/v1?ns=docker.io',
        '/v2/busy/manifests/v1?ns=registry-1.docker.io',
        '/v2/busy/manifests/v1?ns=index.docker.io',
        '/v2/docker.io/busy/manifests/v1',
        '/v2/docker.io/library/busy/manifests/v1',
      ]) {
        t.equal((await ask(port, path)).headers['docker-content-digest'], digest, path);
      }
      t.equal(
        (await ask(port, '/v2/busy/manifests/v1?ns=registry.test')).status,
        404,
        'others have no library',
      );
    },
  },
  {
    number: 18,
    title: 'User-Agent and Accept reach the registry, and answers to different Accepts do not mix',
    async run(t, { port, registry }) {
      registry.script = (request, response) => {
        const type = request.headers.accept ?? '';
        send(response, 200, JSON.stringify({ for: type }), { 'content-type': type });
        return true;
      };
      for (const accept of [TYPES.index, TYPES.schema2, TYPES.index]) {
        const headers = { accept, 'user-agent': 'docker/28.5 go/go1.24', 'accept-encoding': 'gzip' };
        for (const method of ['HEAD', 'GET']) {
          const answer = await ask(port, '/v2/a/b/manifests/v1', { method, headers });
          t.equal(answer.headers['content-type'], accept);
          if (method === 'GET') t.equal(answer.body.toString(), JSON.stringify({ for: accept }));
          const seen = registry.seen.at(-1)?.headers;
          t.match(seen, { accept, 'user-agent': 'docker/28.5 go/go1.24', 'accept-encoding': 'identity' });
          t.equal(seen?.host, registry.host, 'the registry is asked by its own name');
        }
      }
    },
  },
  {
    number: 18,
    title: 'warnings and rate limits of the registry reach the client',
    async run(t, { port, registry }) {
      const told = {
        warning: '299 - "this image is going away"',
        'ratelimit-limit': '100;w=21600',
        'ratelimit-remaining': '76;w=21600',
        'docker-ratelimit-source': '10.0.0.1',
        'oci-subject': `sha256:${'1'.repeat(64)}`,
      };
      registry.script = (_request, response) => {
        send(response, 200, '{}', { ...told, 'content-type': TYPES.image, 'set-cookie': 'sid=1' });
        return true;
      };
      for (const path of ['/v2/a/b/manifests/v1', '/v2/a/b/tags/list', '/v2/_catalog']) {
        const { headers } = await ask(port, path);
        t.match(headers, { ...told, 'set-cookie': undefined }, path);
      }
      registry.script = (_request, response) => {
        send(response, 429, '{}', { 'retry-after': '3', 'ratelimit-remaining': '0;w=21600' });
        return true;
      };
      const busy = await ask(port, '/v2/a/b/manifests/v1');
      t.match(busy, { status: 429, headers: { 'retry-after': '3', 'ratelimit-remaining': '0;w=21600' } });
      const blob = await ask(port, `/v2/a/b/blobs/sha256:${'2'.repeat(64)}`);
      t.match(blob, { status: 429, headers: { 'retry-after': '3', 'ratelimit-remaining': '0;w=21600' } });
    },
  },
  {
    number: 20,
    title: 'a registry that is down: blobs go on for as long as they were allowed, tags are not guessed',
    async run(t, { port, registry, ground }) {
      const repository = freshRepository();
      const layer = randomBytes(300_000);
      const { layers } = await putImage(registry, repository, [layer]);
      await ask(port, `/v2/${repository}/manifests/v1`);
      await ask(port, `/v2/${repository}/blobs/${layers[0]}`);
      registry.script = (request) => {
        request.socket.destroy();
        return true;
      };
      const kept = await ask(port, `/v2/${repository}/blobs/${layers[0]}`);
      t.equal(kept.status, 200);
      t.ok(kept.body.equals(layer));
      const tag = await ask(port, `/v2/${repository}/manifests/v1`);
      t.equal(tag.status, 502);
      t.equal(errorCode(tag), 'UNAVAILABLE');
      ground.clock.shiftMs += 61_000;
      t.equal((await ask(port, `/v2/${repository}/blobs/${layers[0]}`)).status, 502, 'then it fails closed');
    },
  },
];

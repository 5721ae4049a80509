import { randomBytes } from 'node:crypto';
import { digestOf } from '../../lib/core/digest.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { type Answer, ask, errorCode } from '../registry-proxy/fixture.ts';
import { freshRepository, putImage, type ScriptedCase } from './case.ts';
import { startGround } from './ground.ts';
import type { ScriptedRegistry } from './scripted-registry.ts';

const ALICE = 'Bearer alice-token-5ecret';
const BOB = 'Bearer bob-token-5ecret';

const as = (authorization: string) => ({ headers: { authorization } });

/** A private image that Alice has pulled, so that it lies in the cache. */
async function cached(registry: ScriptedRegistry, port: number) {
  const repository = freshRepository();
  const bytes = randomBytes(300_000);
  registry.readers.set(repository, new Set([ALICE]));
  const { layers, digest } = await putImage(registry, repository, [bytes]);
  const blob = `/v2/${repository}/blobs/${layers[0]}`;
  const manifest = `/v2/${repository}/manifests/v1`;
  const pulled = [await ask(port, manifest, as(ALICE)), await ask(port, blob, as(ALICE))];
  if (pulled.some(({ status }) => status !== 200) || pulled[1]?.body.equals(bytes) !== true) {
    throw new Error('Alice could not pull');
  }
  return { repository, bytes, blob, manifest, digest, layer: layers[0] ?? '' };
}

/** Nobody gets what the registry would not give them, from the cache or otherwise. */
export const authorizationCases: readonly ScriptedCase[] = [
  {
    number: 33,
    title: "a cached private blob asked for by nobody in particular: the registry's own challenge, no bytes",
    async run(t, { port, registry }) {
      const { blob, manifest, bytes, repository } = await cached(registry, port);
      for (const path of [blob, manifest]) {
        for (const headers of [{}, { range: 'bytes=0-9' }, { 'if-none-match': '*' }]) {
          const answer = await ask(port, path, { headers });
          t.equal(answer.status, 401, `${path} ${JSON.stringify(headers)}`);
          t.equal(answer.headers['www-authenticate'], registry.challenge(repository));
          t.equal(errorCode(answer), 'UNAUTHORIZED');
          t.notOk(answer.body.includes(bytes.subarray(0, 10)));
        }
        t.equal((await ask(port, path, { method: 'HEAD' })).status, 401);
      }
    },
  },
  {
    number: 34,
    title: 'asked for by someone without the right: refused, and nothing tells whether it is cached',
    async run(t, { port, registry }) {
      const { repository, blob, bytes } = await cached(registry, port);
      const uncached = `/v2/${repository}/blobs/${await registry.blob(repository, randomBytes(bytes.length))}`;
      const told: Answer[] = [];
      const asked: string[][] = [];
      for (const path of [blob, uncached]) {
        const before = registry.seen.length;
        told.push(await ask(port, path, as(BOB)));
        asked.push(
          registry.seen.slice(before).map(({ method, headers }) => `${method} ${headers.authorization}`),
        );
      }
      t.same(
        told.map(({ status }) => status),
        [403, 403],
      );
      t.same(told[0]?.body, told[1]?.body);
      const names = told.map(({ headers }) => Object.keys(headers).sort());
      t.same(names[0], names[1]);
      t.same(asked[0], asked[1], 'the same questions to the registry, whose time it takes');
      t.ok(
        asked.flat().every((question) => question.endsWith(BOB)),
        'in the name of the one who asks',
      );
    },
  },
  {
    number: 35,
    title: 'a right that is taken away is gone within a minute',
    async run(t, { port, registry, ground }) {
      const { repository, blob, manifest } = await cached(registry, port);
      registry.readers.set(repository, new Set());
      t.equal((await ask(port, manifest, as(ALICE))).status, 403, 'manifests at once');
      ground.clock.shiftMs += 60_000;
      t.equal((await ask(port, blob, as(ALICE))).status, 403);
    },
  },
  {
    number: 36,
    title: 'the same digest in a public repository does not open the private one',
    async run(t, { port, registry }) {
      const { bytes, blob, layer } = await cached(registry, port);
      const open = freshRepository();
      await putImage(registry, open, [bytes]);
      t.equal((await ask(port, `/v2/${open}/manifests/v1`)).status, 200);
      t.equal((await ask(port, `/v2/${open}/blobs/${layer}`)).status, 200);
      t.equal((await ask(port, blob)).status, 401);
      t.equal((await ask(port, blob, as(BOB))).status, 403);
      const elsewhere = freshRepository();
      await putImage(registry, elsewhere, [randomBytes(5)]);
      const answer = await ask(port, `/v2/${elsewhere}/blobs/${layer}`);
      t.equal(answer.status, 404, 'nor is it in a repository that does not have it');
    },
  },
  {
    number: 37,
    title: 'an expired token gets a new challenge, and the token that it leads to succeeds',
    async run(t, { port, registry }) {
      const { repository, blob, manifest, bytes } = await cached(registry, port);
      for (const path of [manifest, blob]) {
        const answer = await ask(port, path, as('Bearer expired'));
        t.equal(answer.status, 401, path);
        t.equal(answer.headers['www-authenticate'], registry.challenge(repository));
      }
      registry.readers.get(repository)?.add('Bearer new');
      t.ok((await ask(port, blob, as('Bearer new'))).body.equals(bytes));
    },
  },
  {
    number: 38,
    title: 'whatever a caller says who it is reaches the registry unchanged: Basic, Bearer, robots',
    async run(t, { port, registry }) {
      const repository = freshRepository();
      const basic = (user: string) => `Basic ${Buffer.from(`${user}:p:w"\\d`).toString('base64')}`;
      const { layers } = await putImage(registry, repository, [randomBytes(50)]);
      for (const authorization of [basic('ann'), basic('robot$team+ci'), 'Bearer a.b.c', 'bearer lower==']) {
        registry.readers.set(repository, new Set([authorization]));
        const before = registry.seen.length;
        for (const path of ['manifests/v1', `blobs/${layers[0]}`]) {
          const answer = await ask(port, `/v2/${repository}/${path}`, as(authorization));
          t.equal(answer.status, 200, `${authorization} ${path}`);
        }
        const said = registry.seen.slice(before).map(({ headers }) => headers.authorization);
        t.same(new Set(said), new Set([authorization]));
      }
    },
  },
  {
    number: 39,
    title: 'credentials of ours are not sent to a token service on a foreign host',
    async run(t, { registry }) {
      const thief = await startFaultOrigin((_request, response) => send(response, 200, '{"token":"t"}'));
      t.teardown(() => thief.close());
      const bytes = randomBytes(300_000);
      const digest = digestOf(bytes);
      const realm = thief.url.replace('127.0.0.1', 'localhost');
      registry.script = (request, response) => {
        // The caller may, but whoever reads for it is asked to log in elsewhere.
        if (request.method === 'HEAD') send(response, 200, bytes);
        else send(response, 401, '', { 'www-authenticate': `Bearer realm="${realm}/token",service="x"` });
        return true;
      };
      const ground = await startGround({
        upstreams: { 'own.test': { url: registry.url, username: 'robot', password: '5ecret-password' } },
        defaultUpstream: 'own.test',
      });
      t.teardown(() => ground.close());
      const answer = await ask(ground.port, `/v2/a/b/blobs/${digest}`);
      t.not(answer.status, 200);
      t.ok(thief.seen.length > 0, 'the realm was asked');
      for (const { headers } of thief.seen) t.equal(headers.authorization, undefined);
      t.notMatch(`${ground.log()}${await ground.metrics()}${answer.body.toString()}`, /5ecret/);
    },
  },
  {
    number: 40,
    title: 'no verdict is shared between callers, and no secret is in logs, metrics or errors',
    async run(t, { port, registry, ground }) {
      const { repository, blob, manifest } = await cached(registry, port);
      const bodies: string[] = [];
      for (const [authorization, status] of [
        [ALICE, 200],
        [BOB, 403],
        [`${ALICE}x`, 403],
        [ALICE.toLowerCase(), 403],
        ['Basic YWxpY2U6NWVjcmV0', 403],
      ] as const) {
        for (const path of [blob, manifest]) {
          const answer = await ask(port, path, as(authorization));
          t.equal(answer.status, status, `${authorization} ${path}`);
          if (status !== 200) bodies.push(answer.body.toString());
        }
      }
      registry.readers.get(repository)?.clear();
      registry.script = (request) => {
        request.socket.destroy();
        return true;
      };
      bodies.push((await ask(port, manifest, as(ALICE))).body.toString());
      const said = [ground.log(), await ground.metrics(), ...bodies].join('\n');
      t.match(said, repository, 'something was said');
      t.notMatch(said, /5ecret|5ECRET|YWxpY2U6NWVjcmV0/);
    },
  },
  {
    number: 42,
    title: 'a token that grants nothing is no right',
    async run(t, { port, registry }) {
      const { repository, blob, manifest } = await cached(registry, port);
      const challenge = `${registry.challenge(repository)},error="insufficient_scope"`;
      registry.script = (request, response) => {
        const empty = request.headers.authorization === 'Bearer empty';
        if (empty) send(response, 401, '{}', { 'www-authenticate': challenge });
        return empty;
      };
      for (const path of [blob, manifest]) {
        const answer = await ask(port, path, as('Bearer empty'));
        t.match(answer, { status: 401, headers: { 'www-authenticate': challenge } }, path);
      }
    },
  },
];

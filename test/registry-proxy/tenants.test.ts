import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { type Relay, startRelay } from '../helpers/relay.ts';
import { ISSUER, SERVICE, startTokenServer, type TokenServer } from '../helpers/token-server.ts';
import { type Answer, ask, type ProxyFixture, startProxy, warmSource } from './fixture.ts';

// A real registry that takes signed tokens, a token service, and a proxy whose store is warm.

const skip =
  isInstalled('docker-registry') && isInstalled('openssl')
    ? false
    : 'docker-registry or openssl is not installed';

const LAYERS = Array.from({ length: 6 }, () => randomBytes(20_000));
const UNKNOWN = digestOf(Buffer.from('nobody ever pulled this'));

interface Stage {
  readonly tokens: TokenServer;
  readonly relay: Relay;
  readonly proxy: ProxyFixture;
  readonly digests: readonly string[];
  readonly manifest: string;
  /** Everything that the proxy logged. */
  readonly log: string[];
}

async function start(t: Test, offline = false): Promise<Stage> {
  const folder = t.testdir({});
  const certificate = makeCertificate(folder);
  const tokens = await startTokenServer(certificate, {
    pusher: { password: 'push-secret', rights: { '*': ['pull', 'push'] } },
    alice: { password: 'alice-secret', rights: { 'team/app': ['pull'] } },
    bob: { password: 'bob-secret', rights: { 'public/app': ['pull'] } },
  });
  const scope = 'repository:team/app:pull,push repository:public/app:pull,push';
  const authorization = `Bearer ${tokens.issue('pusher', scope)}`;
  const registry = await startDockerRegistry({ tokens: { realm: tokens.realm, certificate, authorization } });
  const relay = await startRelay(registry.url);
  const log: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      log.push(chunk.toString());
      done();
    },
  });
  const { layers, manifest } = await registry.pushImage('team/app', 'v1', LAYERS);
  await registry.pushBlob('public/app', LAYERS[0] ?? Buffer.alloc(0));
  const verify = { keys: certificate.cert, issuer: ISSUER, service: SERVICE };
  const upstream = { name: 'reg', url: relay.url, username: 'pusher', password: 'push-secret' };
  const proxy = await startProxy([{ ...upstream, ...(offline ? { verify } : {}) }], {
    defaultUpstream: 'reg',
    blobs: warmSource(...LAYERS),
    log: pino({ level: 'trace' }, sink),
  });
  t.teardown(async () => {
    await proxy.close();
    await relay.close();
    await registry.close();
    await tokens.close();
  });
  return { tokens, relay, proxy, digests: layers, manifest, log };
}

/** What a client does with a challenge: it asks the realm itself, with its own password. */
async function tokenFor(challenged: Answer, user: string, password: string): Promise<string> {
  const header = challenged.headers['www-authenticate'] ?? '';
  const get = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(header)?.[1] ?? '';
  const url = new URL(get('realm'));
  url.searchParams.set('service', get('service'));
  url.searchParams.set('scope', get('scope'));
  const basic = Buffer.from(`${user}:${password}`).toString('base64');
  const answer = await fetch(url, { headers: { authorization: `Basic ${basic}` } });
  const { token } = (await answer.json()) as { token: string };
  return `Bearer ${token}`;
}

const as = (authorization: string) => ({ headers: { authorization } });
const portOf = ({ url }: Relay): number => Number(new URL(url).port);
const told = ({ body, headers, status }: Answer) => ({
  status,
  challenge: headers['www-authenticate'],
  type: headers['content-type'],
  body: body.toString(),
});

await t.test(
  "cases 33, 34, 36, 42: one tenant's image opens nothing to another, who gets the registry's own answer",
  { skip },
  async (t) => {
    const stage = await start(t);
    const { digests, proxy, relay } = stage;
    const blob = `/v2/team/app/blobs/${digests[0]}`;
    const challenged = await ask(proxy.port, '/v2/team/app/manifests/v1');
    t.equal(challenged.status, 401);
    const alice = await tokenFor(challenged, 'alice', 'alice-secret');
    t.equal((await ask(proxy.port, '/v2/team/app/manifests/v1', as(alice))).status, 200);
    t.same((await ask(proxy.port, blob, as(alice))).body, LAYERS[0]);

    const bob = await tokenFor(challenged, 'bob', 'bob-secret');
    const callers: readonly [string, object][] = [
      ['case 33: anonymous', {}],
      ['cases 34, 42: a token without grants', as(bob)],
    ];
    for (const [who, options] of callers) {
      const direct = await ask(portOf(relay), blob, options);
      t.equal(direct.status, 401, `${who} is refused by the registry itself`);
      const here = await ask(proxy.port, blob, options);
      t.same(told(here), told(direct), `${who}: word for word`);
      for (const layer of LAYERS) t.notOk(here.body.includes(layer.subarray(0, 16)), 'not one byte');
      t.equal((await ask(proxy.port, blob, { ...options, method: 'HEAD' })).status, 401);
      t.equal((await ask(proxy.port, '/v2/team/app/manifests/v1', options)).status, 401);
    }

    const openScope = 'repository:public/app:pull';
    const reader = `Bearer ${stage.tokens.issue('bob', openScope)}`;
    t.equal((await ask(proxy.port, `/v2/public/app/blobs/${digests[0]}`, as(reader))).status, 200);
    t.equal((await ask(proxy.port, blob, as(reader))).status, 401, 'case 36: not under the private name');
  },
);

await t.test(
  'case 34: what the registry is asked does not tell whether a private blob is held here',
  { skip },
  async (t) => {
    const { digests, proxy, relay, tokens } = await start(t);
    const alice = `Bearer ${tokens.issue('alice', 'repository:team/app:pull')}`;
    await ask(proxy.port, '/v2/team/app/manifests/v1', as(alice));
    await ask(proxy.port, `/v2/team/app/blobs/${digests[0]}`, as(alice));
    const askedFor = async (digest: string, options: object): Promise<string[]> => {
      relay.seen.length = 0;
      const answer = await ask(proxy.port, `/v2/team/app/blobs/${digest}`, options);
      return [...relay.seen.map(({ method }) => method), told(answer).body.replaceAll(digest, 'DIGEST')];
    };
    const bob = as(`Bearer ${tokens.issue('bob', 'repository:team/app:pull')}`);
    for (const options of [{}, bob]) {
      t.same(await askedFor(digests[0] ?? '', options), await askedFor(UNKNOWN, options));
    }
  },
);

await t.test(
  'a warm pull with several tokens asks the registry four times at most, and never for the bytes of a blob',
  { skip },
  async (t) => {
    const { digests, manifest, proxy, relay, tokens } = await start(t);
    const fresh = (): string => `Bearer ${tokens.issue('alice', 'repository:team/app:pull')}`;
    const pull = async (resolving: string, reading: string): Promise<void> => {
      await ask(proxy.port, '/v2/team/app/manifests/v1', { ...as(resolving), method: 'HEAD' });
      await ask(proxy.port, `/v2/team/app/manifests/${manifest}`, as(resolving));
      const got = await Promise.all(
        digests.map((digest) => ask(proxy.port, `/v2/team/app/blobs/${digest}`, as(reading))),
      );
      t.same(
        got.map(({ body }) => body),
        LAYERS,
      );
    };
    await pull(fresh(), fresh());
    relay.seen.length = 0;
    await pull(fresh(), fresh());
    t.ok(relay.seen.length <= 4, `${relay.seen.length} requests`);
    t.same(
      relay.seen.filter(({ url }) => url.includes('/blobs/')),
      [],
      'one question about the manifest answers for all its blobs',
    );
    const same = fresh();
    await pull(same, same);
    relay.seen.length = 0;
    await Promise.all(digests.map((digest) => ask(proxy.port, `/v2/team/app/blobs/${digest}`, as(same))));
    t.equal(relay.seen.length, 0, 'within the minute nothing is asked');
  },
);

await t.test('case 37: a token that has run out is sent back for a new one', { skip }, async (t) => {
  const { digests, proxy, tokens } = await start(t);
  const blob = `/v2/team/app/blobs/${digests[0]}`;
  tokens.validSeconds = 20;
  const old = `Bearer ${tokens.issue('alice', 'repository:team/app:pull')}`;
  await ask(proxy.port, '/v2/team/app/manifests/v1', as(old));
  t.equal((await ask(proxy.port, blob, as(old))).status, 200);
  // The registry allows clocks to differ by a minute: a token from long ago stands for one that has run out since.
  tokens.validSeconds = -120;
  const dead = `Bearer ${tokens.issue('alice', 'repository:team/app:pull')}`;
  const refused = await ask(proxy.port, blob, as(dead));
  t.match(refused, { status: 401, headers: { 'www-authenticate': /^Bearer realm=.*error="invalid_token"/ } });
  tokens.validSeconds = 300;
  const renewed = await tokenFor(refused, 'alice', 'alice-secret');
  t.same((await ask(proxy.port, blob, as(renewed))).body, LAYERS[0]);
});

await t.test('a verdict ends with the token that it was given for', { skip }, async (t) => {
  const { digests, proxy, relay, tokens } = await start(t);
  tokens.validSeconds = 20;
  const token = as(`Bearer ${tokens.issue('alice', 'repository:team/app:pull')}`);
  const blob = `/v2/team/app/blobs/${digests[0]}`;
  await ask(proxy.port, blob, token);
  relay.seen.length = 0;
  await ask(proxy.port, blob, token);
  t.equal(relay.seen.length, 0);
  proxy.clock.shiftMs += 20_000;
  await ask(proxy.port, blob, token);
  t.ok(relay.seen.length > 0, 'asked again, though the minute is not over');
});

await t.test('case 40: no secret reaches a log, a metric or an answer', { skip }, async (t) => {
  const { digests, log, proxy, relay, tokens } = await start(t);
  const alice = `Bearer ${tokens.issue('alice', 'repository:team/app:pull')}`;
  const basic = `Basic ${Buffer.from('carol:carol-secret').toString('base64')}`;
  const answers: Answer[] = [];
  for (const authorization of [alice, basic, 'Bearer nonsense-secret']) {
    for (const path of [
      'manifests/v1',
      'manifests/none',
      `blobs/${digests[0]}`,
      `blobs/${UNKNOWN}`,
      'tags/list',
    ]) {
      answers.push(await ask(proxy.port, `/v2/team/app/${path}`, as(authorization)));
    }
  }
  relay.away = true;
  answers.push(await ask(proxy.port, '/v2/team/app/manifests/v1', as(alice)));
  t.equal(answers.at(-1)?.status, 502);
  t.ok(log.length > 0, 'something was logged');
  const text = [
    ...log,
    await proxy.metrics.registry.metrics(),
    ...answers.map((answer) => `${JSON.stringify(answer.headers)}${answer.body.toString()}`),
  ].join('\n');
  const secrets = [
    alice.slice(7),
    alice.split('.').at(-1) ?? '',
    basic.slice(6),
    'nonsense-secret',
    'push-secret',
  ];
  for (const secret of secrets) t.notOk(text.includes(secret), `${secret.slice(0, 12)}… is nowhere`);
});

await t.test(
  'verify: jwt: a signed token is believed for blobs that the registry has in that repository, and for no others',
  { skip },
  async (t) => {
    const { digests, proxy, relay, tokens } = await start(t, true);
    const alice = (): object => as(`Bearer ${tokens.issue('alice', 'repository:team/app:pull')}`);
    const blob = `/v2/team/app/blobs/${digests[0]}`;
    await ask(proxy.port, '/v2/team/app/manifests/v1', alice());
    relay.seen.length = 0;
    for (const digest of digests) {
      t.equal((await ask(proxy.port, `/v2/team/app/blobs/${digest}`, alice())).status, 200);
    }
    t.same(relay.seen, [], 'six new tokens, nothing asked');
    const reader = as(`Bearer ${tokens.issue('bob', 'repository:public/app:pull')}`);
    t.equal((await ask(proxy.port, blob, reader)).status, 401, 'case 36: granted elsewhere');
    t.ok(relay.seen.length > 0, "the registry's own answer");
    const elsewhere = `/v2/public/app/blobs/${digests[1]}`;
    t.equal(
      (await ask(proxy.port, elsewhere, reader)).status,
      404,
      'a right to the repository is none to what is not in it',
    );
    tokens.validSeconds = -120;
    t.equal((await ask(proxy.port, blob, alice())).status, 401, 'run out');
    tokens.validSeconds = 300;
    relay.seen.length = 0;
    proxy.clock.shiftMs += 60_000;
    t.equal((await ask(proxy.port, blob, alice())).status, 200);
    t.ok(relay.seen.length > 0, 'that it is there is asked again after a minute');
  },
);

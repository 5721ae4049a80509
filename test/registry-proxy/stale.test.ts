import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import type { Upstream } from '../../lib/core/upstream.ts';
import { type StalePolicy, stalePolicy } from '../../registry-proxy/last-known.ts';
import { type DockerRegistry, isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { type Relay, startRelay } from '../helpers/relay.ts';
import { ask, errorCode, type ProxyFixture, startProxy, warmSource } from './fixture.ts';

const missing = ['docker-registry', 'htpasswd'].filter((program) => !isInstalled(program));
const skip = missing.length === 0 ? false : `${missing.join(', ')} not installed`;
const LAYER = randomBytes(30_000);
const DAY_MS = 24 * 3600_000;
const AWAY_MS = 5_000;
const WARNING = /^299 - "reg does not answer: served as it was \d+ s ago"$/;

/** A registry behind a relay that can go away, and a proxy whose store is warm. */
async function start(
  t: Test,
  stale: StalePolicy,
  more: { readonly user?: string; readonly password?: string; readonly trust?: Upstream['trust'] } = {},
): Promise<{ relay: Relay; registry: DockerRegistry; proxy: ProxyFixture; blob: string; manifest: string }> {
  const { password, trust, user } = more;
  const registry = await startDockerRegistry(
    user === undefined || password === undefined ? {} : { user, password },
  );
  const relay = await startRelay(registry.url);
  const own = user === undefined || password === undefined ? {} : { username: user, password };
  const upstream = { name: 'reg', url: relay.url, ...own, ...(trust === undefined ? {} : { trust }) };
  const proxy = await startProxy([upstream], { defaultUpstream: 'reg', stale, blobs: warmSource(LAYER) });
  t.teardown(async () => {
    await proxy.close();
    await relay.close();
    await registry.close();
  });
  const { layers, manifest } = await registry.pushImage('a/b', 'v1', [LAYER]);
  return { relay, registry, proxy, blob: `/v2/a/b/blobs/${layers[0]}`, manifest };
}

const TAG = '/v2/a/b/manifests/v1';
const STALE = { staleIfErrorMs: DAY_MS, tags: 'stale' } as const;

await t.test(
  'case 20: while the registry is away, callers get what they were allowed, with a Warning, for as long as the policy says',
  { skip },
  async (t) => {
    const { blob, manifest, proxy, relay } = await start(t, STALE);
    const before = await ask(proxy.port, TAG);
    t.equal(before.headers.warning, undefined);
    relay.away = true;
    proxy.clock.shiftMs += 3600_000;
    for (const path of [TAG, `/v2/a/b/manifests/${manifest}`]) {
      const answer = await ask(proxy.port, path);
      t.match(
        answer,
        { status: 200, headers: { warning: WARNING, 'docker-content-digest': manifest } },
        path,
      );
      t.same(answer.body, before.body);
      t.equal(answer.headers['content-type'], before.headers['content-type']);
      const head = await ask(proxy.port, path, { method: 'HEAD' });
      t.match(head, { status: 200, headers: { 'content-length': String(before.body.length) } });
      t.equal(head.body.length, 0);
    }
    const layer = await ask(proxy.port, blob);
    t.match(layer, { status: 200, headers: { warning: WARNING } });
    t.same(layer.body, LAYER);
    const unknown = await ask(proxy.port, '/v2/a/b/manifests/v2');
    t.equal(unknown.status, 502, 'nothing is known of it');
    t.equal(errorCode(unknown), 'UNAVAILABLE');
    t.equal((await ask(proxy.port, blob.replace('/a/b/', '/c/d/'))).status, 502, 'nor there');
    proxy.clock.shiftMs += DAY_MS;
    t.equal((await ask(proxy.port, TAG)).status, 502);
    t.equal((await ask(proxy.port, blob)).status, 502);

    relay.away = false;
    proxy.clock.shiftMs += AWAY_MS;
    const back = await ask(proxy.port, TAG);
    t.equal(back.status, 200);
    t.equal(back.headers.warning, undefined, 'the registry is asked again');
  },
);

await t.test(
  'case 20: without the policy nothing is served while the registry is away',
  { skip },
  async (t) => {
    const { blob, proxy, relay } = await start(t, { staleIfErrorMs: 0, tags: 'refuse' });
    await ask(proxy.port, TAG);
    relay.away = true;
    t.equal((await ask(proxy.port, TAG)).status, 502);
    t.equal((await ask(proxy.port, blob)).status, 200, 'the verdict of this minute stands');
    proxy.clock.shiftMs += 60_000;
    t.equal((await ask(proxy.port, blob)).status, 502);
  },
);

await t.test('tags can be refused although digests are served', { skip }, async (t) => {
  const { manifest, proxy, relay } = await start(t, { staleIfErrorMs: DAY_MS, tags: 'refuse' });
  await ask(proxy.port, TAG);
  relay.away = true;
  t.equal((await ask(proxy.port, TAG)).status, 502);
  t.equal((await ask(proxy.port, `/v2/a/b/manifests/${manifest}`)).status, 200);
});

await t.test(
  'while the registry is away the same user and password are served, and nobody else; under trust: node, all',
  { skip },
  async (t) => {
    const user = { user: 'carol', password: 'pw' };
    const { blob, proxy, registry, relay } = await start(t, STALE, user);
    const carol = { headers: { authorization: registry.authorization ?? '' } };
    t.equal((await ask(proxy.port, TAG, carol)).status, 200);
    relay.away = true;
    proxy.clock.shiftMs += 60_001;
    t.equal((await ask(proxy.port, TAG, carol)).status, 200);
    t.same((await ask(proxy.port, blob, carol)).body, LAYER);
    const guess = `Basic ${Buffer.from('carol:guess').toString('base64')}`;
    for (const headers of [{}, { authorization: guess }, { authorization: 'Bearer x' }]) {
      t.equal((await ask(proxy.port, TAG, { headers })).status, 502);
      t.equal((await ask(proxy.port, blob, { headers })).status, 502);
    }

    const tenant = await start(t, STALE, { ...user, trust: 'node' });
    t.equal((await ask(tenant.proxy.port, TAG)).status, 200);
    t.equal((await ask(tenant.proxy.port, TAG, { headers: { authorization: guess } })).status, 401);
    tenant.relay.away = true;
    tenant.proxy.clock.shiftMs += 60_001;
    for (const headers of [{}, { authorization: 'Bearer x' }]) {
      t.equal((await ask(tenant.proxy.port, TAG, { headers })).status, 200);
      t.same((await ask(tenant.proxy.port, tenant.blob, { headers })).body, LAYER);
    }
  },
);

await t.test(
  'a client that sends its password only when asked for it is asked while the registry is away',
  { skip },
  async (t) => {
    const { proxy, registry, relay } = await start(t, STALE, { user: 'carol', password: 'pw' });
    const carol = { headers: { authorization: registry.authorization ?? '' } };
    const challenged = await ask(proxy.port, TAG, { method: 'HEAD' });
    t.match(challenged, { status: 401, headers: { 'www-authenticate': /^Basic/ } });
    t.equal((await ask(proxy.port, TAG, carol)).status, 200);
    relay.away = true;
    proxy.clock.shiftMs += 3600_000;
    const answer = await ask(proxy.port, TAG, { method: 'HEAD' });
    const { 'www-authenticate': challenge } = challenged.headers;
    t.match(answer, { status: 401, headers: { 'www-authenticate': challenge, warning: WARNING } });
    t.equal((await ask(proxy.port, TAG, carol)).status, 200);
    const guess = `Basic ${Buffer.from('carol:guess').toString('base64')}`;
    t.equal((await ask(proxy.port, TAG, { headers: { authorization: guess } })).status, 502);
    proxy.clock.shiftMs += DAY_MS;
    t.equal((await ask(proxy.port, TAG)).status, 502);
  },
);

await t.test('what the registry has refused since is not served when it is away', { skip }, async (t) => {
  const { blob, proxy, registry, relay } = await start(t, STALE);
  await ask(proxy.port, TAG);
  await fetch(
    `${registry.url}/v2/a/b/manifests/${(await ask(proxy.port, TAG)).headers['docker-content-digest'] as string}`,
    {
      method: 'DELETE',
    },
  );
  await fetch(`${registry.url}${blob}`, { method: 'DELETE' });
  proxy.clock.shiftMs += 60_001;
  t.equal((await ask(proxy.port, TAG)).status, 404);
  t.equal((await ask(proxy.port, blob)).status, 404);
  relay.away = true;
  proxy.clock.shiftMs += 60_001;
  t.equal((await ask(proxy.port, TAG)).status, 502);
  t.equal((await ask(proxy.port, blob)).status, 502);
});

await t.test('case 19: a tag that moved is seen by the next pull', { skip }, async (t) => {
  const { manifest, proxy, registry } = await start(t, STALE);
  t.equal((await ask(proxy.port, TAG)).headers['docker-content-digest'], manifest);
  const { manifest: moved } = await registry.pushImage('a/b', 'v1', [randomBytes(100)]);
  t.not(moved, manifest);
  t.equal((await ask(proxy.port, TAG, { method: 'HEAD' })).headers['docker-content-digest'], moved);
  t.equal((await ask(proxy.port, TAG)).headers['docker-content-digest'], moved);
});

await t.test('how long and whether tags too are settings that must fit', async (t) => {
  t.same(stalePolicy(0), { staleIfErrorMs: 0, tags: 'refuse' });
  t.same(stalePolicy(DAY_MS), { staleIfErrorMs: DAY_MS, tags: 'stale' });
  t.same(stalePolicy(DAY_MS, 'refuse'), { staleIfErrorMs: DAY_MS, tags: 'refuse' });
  t.throws(() => stalePolicy(0, 'stale'), { code: 'CONFIG_INVALID', message: /--stale-if-error 24h/ });
});

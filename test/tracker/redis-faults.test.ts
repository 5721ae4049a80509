import { pino } from 'pino';
import t, { type Test } from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { ClusterSettings } from '../../lib/core/cluster-settings.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { signSettings } from '../../lib/security/signed-settings.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { isInstalled } from '../helpers/docker-registry.ts';
import { type RedisServer, startRedis } from '../helpers/redis-server.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { anyPort, layer, systemClock } from './control-rig.ts';
import { granted, isShared, type Office, refTo, startOffice, until } from './peer-store-rig.ts';

const skip = isInstalled('redis-server') ? false : 'no redis-server';
const PASSWORD = 'correct-horse';

const readyz = async (office: Office) =>
  JSON.parse(await office.get('/readyz')) as { status: string; notes: string[] };
const saysAlone = async (office: Office): Promise<boolean> =>
  (await readyz(office)).notes.some((note) => note.includes('goes on from memory'));

async function setUp(t: Test, lines?: string[]) {
  const redis = await startRedis();
  t.teardown(() => redis.close());
  const [a, b] = [await startOffice(t, redis.url, lines), await startOffice(t, redis.url)];
  await until(async () => (await isShared(a)) && (await isShared(b)), 'both share');
  return { redis, a, b };
}

t.test('a holder that goes on at another tracker keeps its lease', { skip }, async (t) => {
  const { a, b } = await setUp(t);
  const holder = await a.join('holder');
  const { token } = granted(await holder.ask());
  const again = await b.join('holder');
  t.match(await again.discovery.leases.renew(refTo(token)), { kind: 'granted', token });
});

const faults: Readonly<
  Record<string, { strike: (redis: RedisServer) => unknown; heal: (redis: RedisServer) => unknown }>
> = {
  'is killed, and an empty one takes its place': {
    strike: (redis) => redis.kill(),
    heal: (redis) => redis.start(),
  },
  'takes connections and answers nothing': {
    strike: (redis) => redis.freeze(true),
    heal: (redis) => redis.freeze(false),
  },
};

for (const [name, { heal, strike }] of Object.entries(faults)) {
  t.test(`Redis ${name}: trackers go on from memory, say so, and share again`, { skip }, async (t) => {
    const lines: string[] = [];
    const { redis, a, b } = await setUp(t, lines);
    const [holder, seeker] = [await a.join('holder'), await b.join('seeker')];
    const supernode = await a.join('supernode', 'supernode');
    holder.announce('all');
    seeker.announce('none');
    await until(() => seeker.knows(holder) && seeker.knows(supernode), 'they share');
    const before = granted(await holder.ask({ stripes: [0] }));

    await strike(redis);
    const near = await b.join('near');
    near.announce('none');
    await until(() => near.knows(seeker) && near.knows(supernode), 'what was known still is');
    const renewed = await holder.discovery.leases.renew(refTo(before.token));
    t.match(renewed, { kind: 'granted' }, 'a lease given by Redis goes on, within half a second');
    const meanwhile = granted(await near.ask({ stripes: [7] }));
    t.ok(meanwhile.token > 0);
    await until(async () => (await saysAlone(a)) && (await saysAlone(b)), '/readyz says so');
    t.equal((await readyz(a)).status, 'ready', 'and is ready all the same');
    t.notOk(await isShared(a));
    t.equal(lines.filter((line) => line.includes('goes on from memory')).length, 1, 'told once');

    const keepAlive = setInterval(() => void near.discovery.leases.renew(refTo(meanwhile.token)), 300);
    t.teardown(() => clearInterval(keepAlive));
    await heal(redis);
    await until(async () => (await isShared(a)) && (await isShared(b)), 'both share again');
    t.notOk(await saysAlone(a));
    t.match(
      await holder.ask({ stripes: [7] }),
      { kind: 'refused', reason: 'held', holders: [near.peer] },
      'a lease given meanwhile holds for all',
    );
    const late = await a.join('late');
    late.announce('none');
    await until(() => late.knows(seeker) && late.knows(near), 'what was told meanwhile is known to all');
  });
}

t.test('a tracker starts without Redis, and shares once it is there', { skip }, async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.close());
  await redis.kill();
  const [a, b] = [await startOffice(t, redis.url), await startOffice(t, redis.url)];
  const [one, two] = [await a.join('one'), await b.join('two')];
  granted(await one.ask());
  t.ok(await saysAlone(a));
  await redis.start();
  await until(async () => (await isShared(a)) && (await isShared(b)), 'both share');
  one.announce('all', layer(2));
  two.announce('none', layer(2));
  await until(() => two.knows(one, layer(2)), 'peers are shared');
});

t.test('a tracker that stops takes its supernodes and nodes with it', { skip }, async (t) => {
  const { a, b } = await setUp(t);
  const [seeker, supernode] = [await b.join('seeker'), await a.join('supernode', 'supernode')];
  await until(() => seeker.discovery.supernodes.length === 1, 'it is known');
  await a.tracker.close();
  await supernode.discovery.close();
  await until(() => seeker.discovery.supernodes.length === 0, 'it is not counted on any more');
  t.pass();
});

t.test('a wrong password is said, and not written anywhere', { skip }, async (t) => {
  const redis = await startRedis({ password: PASSWORD });
  t.teardown(() => redis.close());
  const lines: string[] = [];
  const right = await startOffice(t, redis.url, lines);
  await until(() => isShared(right), 'the right one opens');
  const wrong = await startOffice(t, redis.url.replace(PASSWORD, 'battery-staple'), lines);
  await until(() => lines.some((line) => line.includes('goes on from memory')), 'it says so');
  await until(async () => /NOAUTH|WRONGPASS/.test((await readyz(wrong)).notes.join()), 'and why');
  t.notMatch(lines.join(), PASSWORD);
  t.notMatch(lines.join(), 'battery-staple');
});

t.test('strangers in Redis are not believed', { skip }, async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.close());
  const { Redis } = await import('ioredis');
  const client = new Redis({ path: redis.url.slice('unix://'.length) });
  t.teardown(() => client.disconnect());
  await client.hset('damselfly:trackers', 'x', `${Date.now()} {"nodes":1,"supernodes":[{"id":"../"}]}`);
  await client.hset('damselfly:trackers', 'y', 'nonsense');
  await client.set('damselfly:settings', '{"type":"settings","atMs":"soon"}');
  await client.hset(`damselfly:blob:${layer(1)}`, 'x/1', 'anonsense', 'x/2', 'a{"id":1}');
  const office = await startOffice(t, redis.url);
  await until(() => isShared(office), 'it shares all the same');
  const seeker = await office.join('seeker');
  seeker.announce('none');
  granted(await seeker.ask());
  t.ok(await isShared(office));
});

t.test('settings in Redis count when a tracker of the cluster has signed them', { skip }, async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.close());
  const { Redis } = await import('ioredis');
  const client = new Redis({ path: redis.url.slice('unix://'.length) });
  t.teardown(() => client.disconnect());
  const authority = await testAuthority();
  const { tls } = await testMember(authority, 'tracker');
  const credentials = steadyCredentials(tls);
  t.teardown(() => credentials.close());
  const settings = { atMs: 5, paused: ['harbor.corp'] };
  const heard = async (put: ClusterSettings): Promise<boolean> => {
    await client.set('damselfly:settings', encodeControl({ type: 'settings', ...put }));
    const lines: string[] = [];
    const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
    const tracker = await createTracker(
      { log, clock: systemClock, rng: createRng(6), authority, credentials },
      { listen: anyPort, httpListen: anyPort, processMetrics: false, peerStore: redis.url },
    );
    await until(() => lines.some((line) => line.includes('shared through Redis')), 'it shares');
    await tracker.close();
    return lines.some((line) => line.includes('new settings of the cluster'));
  };
  t.notOk(await heard(settings), 'nobody has signed them');
  t.ok(await heard(signSettings(credentials, settings)));
});

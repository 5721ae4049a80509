import { networkInterfaces } from 'node:os';
import { Redis } from 'ioredis';
import t from 'tap';
import { OwnAddress } from '../../tracker/peer-store/own-address.ts';
import { peerStoreContract } from '../contract/peer-store.ts';
import { isInstalled } from '../helpers/docker-registry.ts';
import { startRedis } from '../helpers/redis-server.ts';
import { layer } from './control-rig.ts';
import { isShared, startOffice, until } from './peer-store-rig.ts';

const skip = isInstalled('redis-server') ? false : 'no redis-server';

t.test('memory: one tracker', async (t) => {
  peerStoreContract(t, async (t) => {
    const office = await startOffice(t);
    return { a: office, b: office };
  });
});

t.test('Redis: two trackers', { skip }, async (t) => {
  peerStoreContract(t, async (t) => {
    const redis = await startRedis();
    t.teardown(() => redis.close());
    const [a, b] = [await startOffice(t, redis.url), await startOffice(t, redis.url)];
    await until(async () => (await isShared(a)) && (await isShared(b)), 'both share');
    return { a, b };
  });
});

t.test('what a tracker that is gone left at blobs that nobody looks at is swept', { skip }, async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.close());
  const client = new Redis(redis.url.replace('unix://', ''));
  t.teardown(() => client.disconnect());
  const dead = 'dead'.padEnd(16, '0');
  const nodes = Array.from({ length: 700 }, (_, index) => [`${dead}/${index}`, 'a{}']).flat();
  await client.hset('damselfly:blob:sha256:large', ...nodes);
  for (let blob = 0; blob < 50; blob++) {
    await client.hset(`damselfly:blob:sha256:${blob}`, `${dead}/x`, 'a{}');
  }
  await client.set('damselfly:settings-of-others', 'stay');
  await client.set('damselfly:blob:stray', 'no hash');
  const office = await startOffice(t, redis.url);
  const holder = await office.join('holder');
  holder.announce('all');
  await until(async () => {
    const left = await client.keys('damselfly:blob:*');
    const lives = [`damselfly:blob:${layer(1)}`, 'damselfly:blob:stray'];
    return left.length === 2 && lives.every((key) => left.includes(key));
  }, 'only what lives, or is not ours, is left');
  t.ok(await isShared(office), 'what cannot be swept keeps nobody from sharing');
  t.equal(await client.hlen(`damselfly:blob:${layer(1)}`), 1);
  t.equal(await client.get('damselfly:settings-of-others'), 'stay');
});

t.test('a tracker that was taken for gone while it lived writes everything again', { skip }, async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.close());
  const client = new Redis(redis.url.replace('unix://', ''));
  t.teardown(() => client.disconnect());
  const office = await startOffice(t, redis.url);
  const holder = await office.join('holder');
  holder.announce('all');
  const key = `damselfly:blob:${layer(1)}`;
  await until(async () => (await client.hlen(key)) === 1, 'written');
  const [before] = await client.hkeys('damselfly:trackers');
  await client.multi().del('damselfly:trackers').del(key).exec();
  await until(async () => {
    const [now] = await client.hkeys(key);
    return now !== undefined && !now.startsWith(`${before}/`);
  }, 'written again, under another name');
  t.pass();
});

const address = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.family === 'IPv4' && !each.internal)?.address;

t.test(
  'a member on the machine of one tracker is told by another one at an address that leads there',
  { skip: skip || (address === undefined && 'this machine has loopback alone') },
  async (t) => {
    const redis = await startRedis();
    t.teardown(() => redis.close());
    const a = await startOffice(t, redis.url, undefined, '0.0.0.0');
    const b = await startOffice(t, redis.url);
    await until(async () => (await isShared(a)) && (await isShared(b)), 'both share');
    const [near, seeker] = [await a.join('near'), await b.join('seeker')];
    near.announce('all');
    await until(() => {
      seeker.announce('none');
      return seeker.knows(near);
    }, 'the seeker hears of it');
    t.equal(seeker.hostOf(near), '127.0.0.1', 'while nobody has come from elsewhere');
    // Somebody from another machine reaches the tracker at its own address.
    await a.join('far', 'node', [], `${address}:${a.tracker.controlAddress.port}`);
    let tries = 0;
    await until(async () => {
      const next = await b.join(`next ${tries++}`);
      await until(() => {
        next.announce('none');
        return next.knows(near);
      }, 'an answer');
      const host = next.hostOf(near);
      await next.discovery.close();
      return host === address;
    }, 'it is told at the address of its tracker');
    t.pass();
  },
);

t.test('the address of a tracker is one that is not loopback', async (t) => {
  const own = new OwnAddress();
  const peer = { id: 'a'.repeat(40), role: 'node', host: '127.0.0.1', port: 1, zone: '' } as const;
  for (const local of [undefined, '', '127.0.0.1', '::1', '::ffff:127.0.0.1']) own.cameTo(local);
  t.equal(own.forOthers(peer), peer, 'a cluster on one machine stays there');
  own.dialledFrom('::ffff:10.0.0.7');
  t.equal(own.forOthers(peer).host, '10.0.0.7');
  t.equal(own.forOthers({ ...peer, host: 'localhost' }).host, '10.0.0.7');
  t.equal(own.forOthers({ ...peer, host: '10.9.9.9' }).host, '10.9.9.9');
});

t.test('the address of a tracker is the one that others reach now', async (t) => {
  const own = new OwnAddress();
  own.dialledFrom('192.168.0.7');
  t.equal(own.host, '192.168.0.7', 'where nobody has come yet');
  const gone = ['10.0.0.7', '10.0.0.7', '10.0.0.7'].map((address) => own.cameTo(address));
  t.equal(own.host, '10.0.0.7', 'members come by another way than to where this tracker goes');
  own.dialledFrom('192.168.0.8');
  for (let count = 0; count < 5; count++) own.cameTo('10.0.0.8');
  t.equal(own.host, '10.0.0.7', 'two that are used alike do not take turns');
  for (const leave of gone) leave();
  t.equal(own.host, '10.0.0.8', 'the machine has another address');
});

t.test(
  'a tracker whose members are all gone is where it was, until it goes out from elsewhere',
  async (t) => {
    const own = new OwnAddress();
    own.dialledFrom('10.0.0.6');
    own.cameTo('10.0.0.7')();
    own.dialledFrom('10.0.0.6');
    t.equal(own.host, '10.0.0.7');
    own.dialledFrom('10.0.0.9');
    t.equal(own.host, '10.0.0.9');
  },
);

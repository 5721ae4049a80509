import t from 'tap';
import { peerStoreContract } from '../contract/peer-store.ts';
import { isInstalled } from '../helpers/docker-registry.ts';
import { startRedis } from '../helpers/redis-server.ts';
import { isShared, startOffice, until } from './peer-store-rig.ts';

t.test('memory: one tracker', async (t) => {
  peerStoreContract(t, async (t) => {
    const office = await startOffice(t);
    return { a: office, b: office };
  });
});

t.test(
  'Redis: two trackers',
  { skip: isInstalled('redis-server') ? false : 'no redis-server' },
  async (t) => {
    peerStoreContract(t, async (t) => {
      const redis = await startRedis();
      t.teardown(() => redis.close());
      const [a, b] = [await startOffice(t, redis.url), await startOffice(t, redis.url)];
      await until(async () => (await isShared(a)) && (await isShared(b)), 'both share');
      return { a, b };
    });
  },
);

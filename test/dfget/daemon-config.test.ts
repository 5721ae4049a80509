import t from 'tap';
import { daemonConfig } from '../../dfget/daemon/config.ts';

const { cacheAfterPull, prefetch } = daemonConfig.shape;

t.test('what becomes of blobs after a pull', async (t) => {
  t.equal(cacheAfterPull.parse(undefined), undefined);
  t.equal(cacheAfterPull.parse('keep'), undefined);
  t.equal(cacheAfterPull.parse('drop'), 0);
  t.equal(cacheAfterPull.parse('30m'), 30 * 60_000);
  t.throws(() => cacheAfterPull.parse('later'));
});

t.test('nothing is prefetched unless asked for', async (t) => {
  t.equal(prefetch.parse(undefined), 'off');
  t.equal(prefetch.parse('image'), 'image');
  t.throws(() => prefetch.parse('all'));
});

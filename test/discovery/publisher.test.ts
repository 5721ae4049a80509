import t from 'tap';
import { RECORD_LIFETIME_MS } from '../../lib/discovery/libp2p/dht.ts';
import { MAX_PUBLISHED, Publisher } from '../../lib/discovery/libp2p/publisher.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';

function setUp(provide: (key: string) => Promise<void> = async () => {}) {
  const clock = new FakeClock();
  const written: { key: string; atMs: number }[] = [];
  const forgotten: string[] = [];
  let running = 0;
  let most = 0;
  const publisher = new Publisher({
    ...{ clock, rng: createRng(3), published: () => {}, failed: () => {} },
    forget: (key) => void forgotten.push(key),
    provide: async (key) => {
      written.push({ key, atMs: clock.now() });
      most = Math.max(most, ++running);
      await provide(key).finally(() => running--);
    },
  });
  const run = async (ms: number): Promise<void> => {
    const untilMs = clock.now() + ms;
    do await new Promise(setImmediate);
    while (clock.advanceToNext(untilMs));
  };
  return { publisher, written, forgotten, run, mostAtOnce: () => most };
}

t.test('nothing is written while nobody is there, then the newest first', async (t) => {
  const { publisher, run, written } = setUp();
  for (const key of ['a', 'b', 'c']) publisher.add(key);
  await run(1000);
  t.same(written, []);
  publisher.pause(false);
  await run(1000);
  t.same(
    written.map(({ key }) => key),
    ['c', 'b', 'a'],
  );
});

t.test('each record is renewed once in its life, spread over it and never in a burst', async (t) => {
  const { publisher, run, written } = setUp();
  const COUNT = 200;
  for (let n = 0; n < COUNT; n++) publisher.add(`key ${n}`);
  publisher.pause(false);
  await run(RECORD_LIFETIME_MS);
  t.equal(written.length, 2 * COUNT);
  const renewals = written.slice(COUNT).map(({ atMs }) => atMs);
  const span = Math.max(...renewals) - Math.min(...renewals);
  t.ok(span > RECORD_LIFETIME_MS / 5, 'spread');
  t.ok(Math.max(...renewals) < 0.9 * RECORD_LIFETIME_MS, 'before any has run out');
  for (let at = 1; at < written.length; at++) {
    t.ok(written[at]!.atMs - written[at - 1]!.atMs >= 50, 'a pace is kept');
  }
});

t.test('a record that cannot be written is tried again, and holds up few others', async (t) => {
  let broken = true;
  const { mostAtOnce, publisher, run, written } = setUp(async () => {
    if (broken) throw new Error('nobody takes it');
  });
  for (const key of ['a', 'b']) publisher.add(key);
  publisher.pause(false);
  await run(3000);
  t.ok(written.length >= 4 && written.length <= 8, 'tried about once a second each');
  broken = false;
  await run(2000);
  const before = written.length;
  await run(60_000);
  t.equal(written.length, before, 'written at last');
  t.ok(mostAtOnce() <= 4);
});

t.test('no more than so many records, and none of what is gone', async (t) => {
  const { forgotten, publisher, run, written } = setUp();
  for (let n = 0; n < MAX_PUBLISHED + 5; n++) publisher.add(`key ${n}`);
  t.equal(publisher.size, MAX_PUBLISHED);
  t.same(
    forgotten,
    [0, 1, 2, 3, 4].map((n) => `key ${n}`),
    'the oldest have none',
  );
  for (let n = 5; n < MAX_PUBLISHED; n++) publisher.remove(`key ${n}`);
  publisher.pause(false);
  await run(1000);
  t.equal(written.length, 5);
  publisher.renewAll();
  await run(1000);
  t.equal(written.length, 10, 'all over again for those who are there now');
  publisher.close();
  await run(2 * RECORD_LIFETIME_MS);
  t.equal(written.length, 10);
});

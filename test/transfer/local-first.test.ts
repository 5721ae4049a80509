import t from 'tap';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { RateLimit } from '../../lib/runtime/rate-limit.ts';
import { LocalFirst } from '../../lib/transfer/clients/local-first.ts';

const MIB = 1024 * 1024;

async function run(clock: FakeClock, untilMs: number): Promise<void> {
  do await new Promise((resolve) => setImmediate(resolve));
  while (clock.advanceToNext(untilMs));
}

function setUp() {
  const clock = new FakeClock();
  const pace = new LocalFirst(clock, new RateLimit(clock));
  return { clock, pace, reader: pace.reader() };
}

t.test('uploads go on at once while no client is behind', async (t) => {
  const { pace, reader } = setUp();
  t.equal(pace.take(MIB), undefined);
  reader.asks();
  t.not(pace.take(MIB), undefined, 'a client waits for what is here');
  reader.waits();
  t.equal(pace.take(MIB), undefined, 'a client waits for what is not here');
  reader.asks();
  reader.leaves();
  t.equal(pace.take(MIB), undefined, 'it has gone');
  t.equal(pace.quantumBytes, Number.POSITIVE_INFINITY);
});

t.test('while a client is behind, an upload trickles: something at least every 100 ms', async (t) => {
  const { clock, pace, reader } = setUp();
  reader.asks();
  let moved = 0;
  let longestPauseMs = 0;
  void (async () => {
    for (let lastMs = 0; ; lastMs = clock.now()) {
      const bytes = Math.min(MIB, pace.quantumBytes);
      await pace.take(bytes);
      moved += bytes;
      longestPauseMs = Math.max(longestPauseMs, clock.now() - lastMs);
    }
  })();
  await run(clock, 1000);
  t.ok(moved > 0 && moved <= 2 * MIB, `${moved} bytes in a second`);
  t.ok(longestPauseMs <= 100, `${longestPauseMs} ms`);
});

t.test('an upload goes on the moment the last client has caught up', async (t) => {
  const { clock, pace, reader } = setUp();
  const other = pace.reader();
  reader.asks();
  other.asks();
  let atMs = -1;
  void pace.take(MIB)?.then(() => (atMs = clock.now()));
  clock.after(10, () => reader.waits());
  clock.after(20, () => other.waits());
  await run(clock, 1000);
  t.equal(atMs, 20);
});

t.test('a client that takes its time needs no precedence until it asks again', async (t) => {
  const { clock, pace, reader } = setUp();
  reader.asks();
  reader.got();
  t.not(pace.take(MIB), undefined, 'it may ask again in an instant');
  await run(clock, 11);
  t.equal(pace.take(MIB), undefined, 'it has not');
  reader.asks();
  t.not(pace.take(MIB), undefined);
});

t.test('an upload that is given up does not wait', async (t) => {
  const { clock, pace, reader } = setUp();
  reader.asks();
  const abort = new AbortController();
  const turn = pace.take(MIB, abort.signal) ?? Promise.resolve();
  abort.abort();
  await t.rejects(turn, { code: 'ABORTED' });
  t.equal(clock.pending, 0);
});

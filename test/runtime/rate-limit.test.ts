import t from 'tap';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { RateLimit } from '../../lib/runtime/rate-limit.ts';
import { createRng } from '../../lib/runtime/rng.ts';

/** Runs the clock to that time; what each timer sets free goes on before the next. */
async function run(clock: FakeClock, untilMs: number): Promise<void> {
  do await new Promise((resolve) => setImmediate(resolve));
  while (clock.advanceToNext(untilMs));
}

/** A transfer that moves bytes for as long as it is let. */
function transfer(limit: RateLimit, clock: FakeClock, signal?: AbortSignal) {
  const moved = { bytes: 0, longestPauseMs: 0, ended: '' };
  void (async () => {
    let lastMs = clock.now();
    try {
      for (;;) {
        const bytes = limit.quantumBytes;
        await limit.take(bytes, signal);
        moved.bytes += bytes;
        moved.longestPauseMs = Math.max(moved.longestPauseMs, clock.now() - lastMs);
        lastMs = clock.now();
      }
    } catch (error) {
      moved.ended = (error as { code: string }).code;
    }
  })();
  return moved;
}

t.test('transfers share the rate evenly, and each moves at least every 100 ms', async (t) => {
  for (const [rate, count] of [
    [64 * 1024, 4],
    [1e6, 4],
    [1e6, 12],
    [50e6, 30],
  ] as const) {
    const clock = new FakeClock();
    const limit = new RateLimit(clock, rate);
    const all = Array.from({ length: count }, () => transfer(limit, clock));
    await run(clock, 5000);
    const sum = all.reduce((total, { bytes }) => total + bytes, 0);
    t.ok(sum <= rate * 5.05 && sum >= rate * 4.9, `${count} at ${rate}: ${sum} bytes in 5 s`);
    const shares = all.map(({ bytes }) => (bytes * count) / sum);
    t.ok(Math.min(...shares) > 0.9, `smallest share ${Math.min(...shares).toFixed(3)}`);
    t.ok(Math.max(...shares) < 1.1, `largest share ${Math.max(...shares).toFixed(3)}`);
    const pauseMs = Math.max(...all.map(({ longestPauseMs }) => longestPauseMs));
    t.ok(pauseMs <= 100, `longest pause ${pauseMs} ms`);
  }
});

t.test('a change of the rate is felt at once, by those too who wait', async (t) => {
  const clock = new FakeClock();
  const limit = new RateLimit(clock, 1000);
  let granted = false;
  void limit.take(1e6);
  void limit.take(1000)?.then(() => (granted = true));
  await run(clock, 100);
  t.notOk(granted);
  limit.change(Number.POSITIVE_INFINITY);
  await run(clock, 100);
  t.ok(granted, 'no limit, no wait');
  limit.change(2000);
  const moved = transfer(limit, clock);
  await run(clock, 10_100);
  t.ok(moved.bytes >= 19_000 && moved.bytes <= 21_200, `${moved.bytes} bytes in 10 s`);
});

t.test('whoever gives up leaves its place, and pays nothing', async (t) => {
  const clock = new FakeClock();
  const limit = new RateLimit(clock, 1000);
  t.equal(limit.take(50), undefined, 'the burst');
  const abort = new AbortController();
  const gone = t.rejects(limit.take(50, abort.signal) ?? Promise.resolve(), { code: 'ABORTED' });
  let atMs = -1;
  void limit.take(10)?.then(() => (atMs = clock.now()));
  await run(clock, 5);
  abort.abort();
  await gone;
  await run(clock, 1000);
  t.equal(atMs, 10, 'the next one waits for its own ten bytes only');
  t.equal(clock.pending, 0, 'and no timer stays');
  await t.rejects(limit.take(1, abort.signal) ?? Promise.resolve(), { code: 'ABORTED' });
});

t.test('any mix of takers, changes and aborts ends with nobody waiting', async (t) => {
  for (let seed = 1; seed <= 30; seed++) {
    const clock = new FakeClock();
    const rng = createRng(seed);
    const limit = new RateLimit(clock, 10_000);
    let open = 0;
    for (let i = 0; i < 200; i++) {
      const abort = new AbortController();
      const turn = limit.take(1 + rng.int(5000), abort.signal);
      if (turn !== undefined) {
        open++;
        turn.then(
          () => open--,
          () => open--,
        );
      }
      if (rng.float() < 0.3) clock.after(rng.float() * 2000, () => abort.abort());
      if (rng.float() < 0.1) limit.change(1000 + rng.int(100_000));
      await run(clock, clock.now() + rng.float() * 30);
    }
    await run(clock, clock.now() + 3_600_000);
    if (open > 0 || clock.pending > 0) t.fail(`seed ${seed}: ${open} still wait, ${clock.pending} timers`);
  }
  t.pass('no deadlock');
});

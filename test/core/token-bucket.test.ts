import t from 'tap';
import { PeakRate } from '../../lib/core/peak-rate.ts';
import { TokenBucket } from '../../lib/core/token-bucket.ts';
import { createRng } from '../../lib/runtime/rng.ts';

t.test('in no stretch of time more passes than its rate and one burst', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const rng = createRng(seed);
    const rate = 1000 + rng.int(1_000_000);
    const bucket = new TokenBucket(rate, 0);
    const taken: { atMs: number; bytes: number }[] = [];
    let refused = 0;
    for (let now = 0; now < 2000; now += rng.float() * 20) {
      for (let wanted = rng.int(4); wanted > 0; wanted--) {
        const bytes = 1 + rng.int(Math.floor(bucket.burstBytes));
        if (bucket.take(bytes, now)) taken.push({ atMs: now, bytes });
        else refused++;
      }
    }
    let worst = 0;
    for (let from = 0; from < taken.length; from++) {
      let sum = 0;
      for (let to = from; to < taken.length; to++) {
        sum += taken[to]!.bytes;
        const seconds = (taken[to]!.atMs - taken[from]!.atMs) / 1000;
        worst = Math.max(worst, sum - rate * seconds);
      }
    }
    const excess = worst - bucket.burstBytes;
    if (refused === 0 || excess > 1e-3) t.fail(`seed ${seed}: ${excess} bytes too many, ${refused} refused`);
  }
  t.pass('whatever is asked for, and when');
});

t.test('whoever comes when it said gets the bytes, and hardly less passes than may', async (t) => {
  const bucket = new TokenBucket(1000, 0);
  let passed = 0;
  for (let now = 0; now < 10_000; now += bucket.waitMs(40, now)) while (bucket.take(40, now)) passed += 40;
  t.ok(passed >= 10_000 && passed <= 10_050, `${passed} bytes in ten seconds`);
});

t.test('more than the burst at once needs a full bucket and is paid back', async (t) => {
  const bucket = new TokenBucket(1000, 0);
  t.ok(bucket.take(1000, 0), 'the burst is 50');
  t.notOk(bucket.take(1, 900));
  t.equal(bucket.waitMs(1, 900), 51);
  t.notOk(bucket.take(1000, 960), 'not full yet');
  t.ok(bucket.take(1000, 1000));
});

t.test('a rate can change: from then on it is the new one', async (t) => {
  const bucket = new TokenBucket(Number.POSITIVE_INFINITY, 0);
  t.ok(bucket.take(1e12, 0), 'without a limit');
  bucket.change(1000, 5);
  t.ok(bucket.take(50, 5));
  t.equal(bucket.waitMs(10, 5), 10);
  bucket.change(100, 5);
  t.equal(bucket.waitMs(5, 5), 50);
  bucket.change(10_000, 5);
  t.equal(bucket.waitMs(500, 5), 50);
});

t.test('a peak rate is that of the best half second of the last ten minutes', async (t) => {
  const peak = new PeakRate();
  t.equal(peak.bytesPerSecond(0), 0);
  for (let now = 1000; now < 3000; now += 10) peak.note(10, now);
  t.equal(peak.bytesPerSecond(3000), 1000);
  for (let now = 3000; now < 4000; now += 10) peak.note(20, now);
  t.equal(peak.bytesPerSecond(4000), 2000);
  peak.note(50, 60_000);
  t.equal(peak.bytesPerSecond(9 * 60_000), 2000, 'still known after nine minutes');
  t.equal(peak.bytesPerSecond(12 * 60_000 - 1), 100, 'older than ten: what came after it');
  t.equal(peak.bytesPerSecond(60 * 60_000), 0);
});

t.test('over a longer window a burst is what it is over that time', async (t) => {
  const peak = new PeakRate(4000);
  peak.note(4000, 1000);
  t.equal(peak.bytesPerSecond(1000), 1000);
  peak.note(4000, 5100);
  t.equal(peak.bytesPerSecond(5100), 1000, 'the first is out of the window');
  peak.note(4000, 6000);
  t.equal(peak.bytesPerSecond(6000), 2000);
});

import t from 'tap';
import { TimingWheel } from '../../bench/simulate/physics/wheel.ts';

/** An event may come so much late. */
const BUCKET_MS = 1 / 64;

await t.test('events come in time order, never early, however far ahead', async (t) => {
  const wheel = new TimingWheel();
  const times = [0, 0.001, 5, 5, 4.9, 1000, 4095, 4096, 4097, 8192, 100_000, 12_345.678];
  times.forEach((at, i) => wheel.add(at, 1, i, 0, 0, 0));
  let last = -1;
  let count = 0;
  while (wheel.next()) {
    const due = wheel.b === 1 ? last : times[wheel.a]!;
    t.ok(wheel.now >= due && wheel.now - due <= BUCKET_MS, `due at ${due}, came at ${wheel.now}`);
    t.ok(wheel.now >= last);
    last = wheel.now;
    // An event for the moment that is under way comes next, not a revolution later.
    if (wheel.b === 0) wheel.add(wheel.now, 1, wheel.a, 1, 0, 0);
    count++;
  }
  t.equal(count, times.length * 2);
});

await t.test('events of one moment come in the order in which they were set', async (t) => {
  const wheel = new TimingWheel();
  for (let i = 0; i < 10_000; i++) wheel.add(7, i % 3, i, i + 1, i + 2, i + 3);
  for (let i = 0; i < 10_000; i++) {
    wheel.next();
    const { kind, a, b, c, d, now } = wheel;
    if (kind !== i % 3 || a !== i || b !== i + 1 || c !== i + 2 || d !== i + 3 || now !== 7) {
      t.fail(`number ${i}: ${[kind, a, b, c, d, now].join(', ')}`);
    }
  }
  t.equal(wheel.next(), false);
});

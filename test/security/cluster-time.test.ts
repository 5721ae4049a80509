import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { HOUR_MS } from '../../lib/security/cluster-authority.ts';
import { CLOCK_TOLERANCE_MS, ClusterTime } from '../../lib/security/cluster-time.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import { testAuthority, testMember } from './cluster.ts';

const MINUTE_MS = 60_000;

function pass(clock: FakeClock, ms: number): void {
  const untilMs = clock.now() + ms;
  while (clock.advanceToNext(untilMs));
}

t.test("until a tracker has told its time, it is this machine's", async (t) => {
  let wallMs = 1_000_000;
  const time = new ClusterTime(new FakeClock(), () => wallMs);
  t.equal(time.nowMs(), 1_000_000);
  wallMs += 5;
  t.equal(time.nowMs(), 1_000_005);
});

t.test('a tracker tells its time, halfway between question and answer', async (t) => {
  const clock = new FakeClock();
  const time = new ClusterTime(clock, () => 0);
  const askedAtMs = clock.now();
  pass(clock, 40);
  time.heard('a', 5_000_000, askedAtMs);
  t.equal(time.nowMs(), 5_000_020);
  pass(clock, 1_000);
  t.equal(time.nowMs(), 5_001_020, 'it goes on, whatever becomes of the clock on the wall');
});

t.test('of several trackers the median counts, and one that is wrong moves nothing', async (t) => {
  const clock = new FakeClock();
  const time = new ClusterTime(clock, () => 0);
  const hear = (tracker: string, ms: number): void => time.heard(tracker, ms, clock.now());
  hear('a', 1_000);
  hear('b', 2_000);
  t.equal(time.nowMs(), 1_500);
  hear('c', 900_000_000);
  t.equal(time.nowMs(), 2_000);
  hear('c', 1_800);
  t.equal(time.nowMs(), 1_800, 'each tracker counts once, with what it said last');
  hear('d', Number.NaN);
  t.equal(time.nowMs(), 1_800);
});

t.test(
  'certificates end in cluster time, with a tolerance, on a machine whose clock is 10 minutes off',
  async (t) => {
    const authority = await testAuthority();
    for (const aheadMs of [10 * MINUTE_MS, -10 * MINUTE_MS]) {
      const clock = new FakeClock();
      const nowMs = Date.now();
      const own = await testMember(authority, 'node', { nowMs });
      const other = await testMember(authority, 'node', { nowMs });
      const deps = { clock, log: silentLog(), wallClockMs: () => nowMs + clock.now() + aheadMs };
      const credentials = new Credentials(deps, own.tls, async () => undefined);
      t.teardown(() => credentials.close());
      credentials.time.heard('tracker', nowMs, clock.now());
      const reason = (): string => {
        const checked = credentials.check(other.certificate, ['node']);
        return checked.kind === 'refused' ? checked.reason : 'member';
      };
      t.equal(reason(), 'member', 'of an age of nothing');
      // X.509 counts in seconds.
      pass(clock, 24 * HOUR_MS + CLOCK_TOLERANCE_MS - 1_000);
      t.equal(reason(), 'member', 'just within the tolerance');
      pass(clock, 2_000);
      t.equal(reason(), 'expired', 'just beyond it');
    }
  },
);

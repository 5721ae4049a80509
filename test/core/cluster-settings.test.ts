import fc from 'fast-check';
import t from 'tap';
import { type ClusterSettings, isNewer, settingsTime } from '../../lib/core/cluster-settings.ts';

const settings = fc.record({
  atMs: fc.integer({ min: 0, max: 3 }),
  paused: fc.array(fc.constantFrom('all', 'harbor.corp', 'quay.io'), { maxLength: 2 }),
});

const newest = (all: readonly ClusterSettings[]): ClusterSettings | undefined =>
  all.reduce<ClusterSettings | undefined>((known, next) => (isNewer(next, known) ? next : known), undefined);

t.test('whoever hears the same settings, in whatever order, ends with the same ones', async (t) => {
  const shuffled = fc
    .array(settings, { minLength: 1, maxLength: 6 })
    .chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
  fc.assert(
    fc.property(shuffled, ([all, other]) => {
      t.same(newest(other), newest(all));
      return newest(all)?.atMs === Math.max(...all.map(({ atMs }) => atMs));
    }),
  );
});

t.test('what is set now replaces what a clock that is ahead has set', async (t) => {
  const known = { atMs: 5_000, paused: ['all'] };
  t.equal(settingsTime(1_000.5, undefined), 1_000);
  t.equal(settingsTime(6_000, known), 6_000);
  for (const now of [0, 5_000]) {
    t.ok(isNewer({ atMs: settingsTime(now, known), paused: [] }, known), `at ${now}`);
  }
  t.notOk(isNewer(known, known), 'the same again is no news');
});

import fc from 'fast-check';
import t from 'tap';
import {
  type ClusterSettings,
  changedRules,
  isNewer,
  settingsTime,
  valuesFor,
} from '../../lib/core/cluster-settings.ts';

const settings = fc.record({
  atMs: fc.integer({ min: 0, max: 3 }),
  paused: fc.array(fc.constantFrom('all', 'harbor.corp', 'quay.io'), { maxLength: 2 }),
  rules: fc.array(fc.record({ values: fc.constantFrom({ a: '1' }, { a: '2' }) }), { maxLength: 1 }),
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

t.test('rules: those for fewer nodes win, each is changed by itself', async (t) => {
  const here = { id: 'abc', zone: 'eu' };
  let rules = changedRules([], { node: 'ab' }, { set: { rate: '1' } });
  rules = changedRules(rules, { zone: 'eu' }, { set: { rate: '2', level: 'debug' } });
  rules = changedRules(rules, {}, { set: { rate: '3', memory: '4' } });
  t.same(valuesFor(here, { rules }), { rate: '1', level: 'debug', memory: '4' });
  t.same(valuesFor({ id: 'ac', zone: 'us' }, { rules }), { rate: '3', memory: '4' });
  t.same(valuesFor({ id: 'ac', zone: 'eu' }, { rules }), { rate: '2', level: 'debug', memory: '4' });
  rules = changedRules(rules, { node: 'ab' }, { unset: ['rate'] });
  t.equal(rules.length, 2, 'a rule that says nothing is gone');
  t.same(valuesFor(here, { rules: changedRules(rules, {}, { set: { rate: '9' } }) })['rate'], '2');
  t.same(valuesFor(here, {}), {});
});

t.test(
  'rules: what is set for a zone counts in the zones within it, and the nearest zone wins',
  async (t) => {
    let rules = changedRules([], { zone: 'eu/fra' }, { set: { rate: '2' } });
    rules = changedRules(rules, { zone: 'eu' }, { set: { rate: '1', level: 'debug' } });
    const of = (zone: string) => valuesFor({ id: 'abc', zone }, { rules });
    t.same(of('eu'), { rate: '1', level: 'debug' });
    t.same(of('eu/ber'), { rate: '1', level: 'debug' });
    t.same(of('eu/fra/rack-7'), { rate: '2', level: 'debug' });
    t.same([of('eu2'), of(''), of('us')], [{}, {}, {}], 'a name that begins the same is another zone');
    const unsorted = { rules: rules.toReversed() };
    t.same(valuesFor({ id: 'abc', zone: 'eu/fra' }, unsorted), of('eu/fra'), 'in whatever order they come');
    rules = changedRules(rules, { node: 'ab' }, { set: { rate: '9' } });
    t.equal(of('eu/fra')['rate'], '9', 'a node is narrower than any zone');
  },
);

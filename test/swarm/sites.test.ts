import t from 'tap';
import { dealAll, splitTurns, turnsFor } from '../../lib/swarm/sites.ts';

const GIB = 1024 ** 3;
const at = (zone: string, ...ids: string[]) => ids.map((id) => ({ id, zone }));
const ids = (turns: readonly { readonly id: string }[]): string[] => turns.map(({ id }) => id);

t.test('one site: its supernodes read and give, as if there were no zones', async (t) => {
  const supernodes = at('eu', 'a', 'b', 'c', 'd');
  const dealt = dealAll('key', GIB, supernodes);
  t.equal(new Set(ids(dealt.readers)).size, 3);
  t.same(turnsFor({ role: 'supernode', zone: 'eu' }, dealt), dealt.readers);
  t.same(turnsFor({ role: 'node', zone: 'eu/fra' }, dealt), dealt.readers);
  t.same(turnsFor({ role: 'node', zone: 'us' }, dealt), dealt.readers);
});

t.test(
  'each site reads a part, and has one gateway for each turn, which is its reader where it has one',
  async (t) => {
    const supernodes = [...at('eu', 'a', 'b'), ...at('us', 'c'), ...at('ap', 'd', 'e', 'f', 'g')];
    const dealt = dealAll('key', GIB, supernodes);
    const byZone = new Map(supernodes.map(({ id, zone }) => [id, zone]));
    t.equal(new Set(ids(dealt.readers)).size, 6, 'at most three of one site');
    for (const [zone, gateways] of dealt.sites) {
      t.equal(gateways.length, dealt.readers.length);
      for (const [turn, gateway] of gateways.entries()) {
        t.equal(gateway.zone, zone);
        const reader = dealt.readers[turn]!;
        if (byZone.get(reader.id) === zone) t.equal(gateway, reader);
      }
      const told = splitTurns(turnsFor({ role: 'supernode', zone }, dealt));
      t.same(told, { sources: dealt.readers, gateways });
      t.same(turnsFor({ role: 'node', zone: `${zone}/rack` }, dealt), gateways);
    }
    t.same(turnsFor({ role: 'node', zone: 'sa' }, dealt), dealt.readers, 'of no site: those who read');
  },
);

t.test('however many sites there are, each has a gateway for each turn of the readers', async (t) => {
  for (let count = 2; count <= 8; count++) {
    const supernodes = Array.from({ length: count }, (_, index) => ({ id: `s${index}`, zone: `z${index}` }));
    const dealt = dealAll('key', GIB, supernodes);
    const { length: turns } = dealt.readers;
    for (const { id, zone } of supernodes) {
      const gateways = dealt.sites.get(zone)!;
      t.same(ids(gateways), Array(turns).fill(id), `${zone} of ${count}`);
      const told = splitTurns(turnsFor({ role: 'supernode', zone }, dealt));
      t.same(told, { sources: dealt.readers, gateways });
    }
    const [gone, ...left] = supernodes;
    const living = (turns: readonly (typeof supernodes)[number][]) =>
      turns.map((each) => (each === gone ? undefined : each));
    const before = {
      readers: living(dealt.readers),
      sites: new Map([...dealt.sites].map(([zone, turns]) => [zone, living(turns)] as const)),
    };
    const after = dealAll('key', GIB, left, before);
    for (const [turn, { id }] of after.readers.entries()) {
      const had = dealt.readers[turn]!;
      if (had !== gone) t.equal(id, had.id, 'and keeps its turns when one of them is gone');
    }
    t.equal(after.readers.length, turns);
  }
});

t.test('inner sites get it from the site around them, and when that is gone from the next', async (t) => {
  const inner = { role: 'supernode', zone: 'eu/de/fra' } as const;
  const all = [...at('eu', 'a'), ...at('eu/de', 'b'), ...at('eu/de/fra', 'c')];
  const sources = (supernodes: typeof all): string[] =>
    ids(splitTurns(turnsFor(inner, dealAll('key', GIB, supernodes))).sources);
  t.same(new Set(sources(all)), new Set(['b']));
  t.same(new Set(sources([...at('eu', 'a'), ...at('eu/de/fra', 'c')])), new Set(['a']));
  t.same(new Set(ids(dealAll('key', GIB, all).readers)), new Set(['a']), 'only the outermost reads');
  t.same(new Set(sources(at('eu/de/fra', 'c'))), new Set(['c']), 'alone it reads itself');
});

t.test('who lives keeps its turns, whoever comes or goes', async (t) => {
  const before = dealAll('key', GIB, [...at('eu', 'a'), ...at('us', 'b'), ...at('ap', 'c')]);
  const more = [...at('eu', 'a', 'd'), ...at('us', 'b', 'e'), ...at('ap', 'c'), ...at('sa', 'f')];
  const after = dealAll('key', GIB, more, before);
  t.same(ids(after.readers), ids(before.readers));
  for (const zone of ['eu', 'us', 'ap']) t.same(ids(after.sites.get(zone)!), ids(before.sites.get(zone)!));
  t.equal(after.sites.get('sa')!.length, before.readers.length);
  const gone = {
    readers: after.readers.map((each) => (each.id === 'a' ? undefined : each)),
    sites: new Map(
      [...after.sites].map(([zone, turns]) => [
        zone,
        turns.map((each) => (each.id === 'a' ? undefined : each)),
      ]),
    ),
  };
  const without = dealAll(
    'key',
    GIB,
    more.filter(({ id }) => id !== 'a'),
    gone,
  );
  without.readers.forEach(({ id }, turn) => {
    const had = after.readers[turn]!.id;
    if (had !== 'a') t.equal(id, had);
    else t.not(id, 'a');
  });
});

t.test('a small blob is read by one supernode, and brought into each site by one', async (t) => {
  const dealt = dealAll('key', 1000, [...at('eu', 'a', 'b'), ...at('us', 'c', 'd')]);
  t.equal(new Set(ids(dealt.readers)).size, 1);
  for (const gateways of dealt.sites.values()) t.equal(new Set(ids(gateways)).size, 1);
});

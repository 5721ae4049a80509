import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadUpstreams } from '../../lib/config/load-upstreams.ts';
import { loadZone } from '../../lib/config/load-zone.ts';
import { upstream } from '../../lib/config/upstream.ts';
import { parseZoneRule, zoneFinder } from '../../lib/config/zone-rules.ts';
import { enclosing, isWithin, isZone, nearness, parentOf, supernodesFor } from '../../lib/core/zones.ts';

t.test('a zone is a path, each part within the one before', async (t) => {
  for (const zone of ['', 'eu', 'eu/de/fra', 'eu-1.a_b/rack-3']) t.ok(isZone(zone), zone);
  for (const zone of ['/eu', 'eu/', 'eu//fra', 'eu fra', 'é', 'x'.repeat(65)]) t.notOk(isZone(zone), zone);
  t.ok(isWithin('eu/fra', 'eu'));
  t.ok(isWithin('eu', ''));
  t.notOk(isWithin('eu', 'eu/fra'));
  t.notOk(isWithin('europe', 'eu'), 'not by the beginning of a name');
  t.equal(enclosing('eu/de/fra', ['', 'eu', 'us', 'eu/de']), 'eu/de');
  t.equal(enclosing('us', ['eu']), undefined);
  t.equal(parentOf('eu/de', ['eu/de', 'eu']), 'eu');
  t.equal(parentOf('eu', ['eu', 'eu/de']), undefined);
  t.equal(nearness('eu/de/fra', 'eu/de/ber'), 2);
  t.equal(nearness('eu', ''), 0);
});

t.test(
  'a zone is looked after by its own supernodes, else by those around it, else by the outermost',
  async (t) => {
    const of = (zone: string, ...zones: string[]): string[] =>
      supernodesFor(
        zone,
        zones.map((each) => ({ zone: each })),
      ).map((each) => each.zone);
    t.same(of('eu/fra', 'eu', 'eu/fra', 'us'), ['eu/fra']);
    t.same(of('eu/ams', 'eu', 'eu/fra', 'us'), ['eu']);
    t.same(of('ap', 'eu', 'eu/fra', 'us'), ['eu', 'us']);
    t.same(of('ap', '', 'eu'), [''], 'the default zone is around all');
  },
);

t.test('rules give zones by address, the first that fits', async (t) => {
  const rules = ['10.1.0.0/16=eu/fra', '10.0.0.0/8,fd00::/8=eu'].map((text) => parseZoneRule(text)!);
  const find = zoneFinder(rules);
  t.equal(find(['10.1.2.3']), 'eu/fra');
  t.equal(find(['192.0.2.1', '10.2.0.1']), 'eu');
  t.equal(find(['fd00::1']), 'eu');
  t.equal(find(['::ffff:10.1.0.1']), 'eu/fra');
  t.equal(find(['192.0.2.1']), undefined);
  for (const text of ['10.0.0.0/8', '10.0.0.0/8=', '=eu', '10.0.0.0/33=eu', '10.0.0.0/8=eu fra']) {
    t.equal(parseZoneRule(text), undefined, text);
  }
});

t.test('a zone comes from the setting, from a file, or from our addresses', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'zone-')), 'labels');
  t.equal(loadZone({ zone: 'us', zoneFile: file }), 'us', 'the setting wins');
  t.throws(() => loadZone({ zone: '', zoneFile: file }), { code: 'CONFIG_INVALID' }, 'no such file');
  for (const [text, zone] of [
    ['eu/fra\n', 'eu/fra'],
    ['app="x"\ntopology.kubernetes.io/zone="eu-1a"\ntopology.kubernetes.io/region="eu-1"\n', 'eu-1/eu-1a'],
    ['topology.kubernetes.io/zone="eu-1a"', 'eu-1a'],
  ] as const) {
    writeFileSync(file, text);
    t.equal(loadZone({ zone: '', zoneFile: file }), zone);
  }
  for (const text of ['', 'eu\nus\n', 'a zone']) {
    writeFileSync(file, text);
    t.throws(() => loadZone({ zone: '', zoneFile: file }), { code: 'CONFIG_INVALID' }, JSON.stringify(text));
  }
  t.equal(loadZone({ zone: '' }), '');
});

t.test('of a registry with several addresses the nearest is asked first', async (t) => {
  const config = upstream().parse({
    name: 'harbor.corp',
    url: [
      'https://central.corp',
      { url: 'https://us.corp', zone: 'us' },
      { url: 'https://ber.corp', zone: 'eu/ber' },
      { url: 'https://eu.corp', zone: 'eu' },
    ],
  });
  const order = (zone: string): (string | undefined)[] => {
    const [loaded] = loadUpstreams([config], [], zone);
    return [loaded?.url, ...(loaded?.replicas ?? [])].map((url) => url?.slice(8, -5));
  };
  t.same(order(''), ['central', 'us', 'ber', 'eu'], 'as they stand');
  t.same(order('us/ny'), ['us', 'central', 'ber', 'eu']);
  t.same(order('eu/ber/1'), ['ber', 'eu', 'central', 'us']);
  t.same(order('eu/fra'), ['ber', 'eu', 'central', 'us'], 'as near as each other: as they stand');
});

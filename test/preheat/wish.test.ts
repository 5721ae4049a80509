import t from 'tap';
import { fitsTagPattern } from '../../lib/oci/tag-pattern.ts';
import { parseManifestUrl } from '../../tracker/preheat/manifest-url.ts';
import { inBatches, parseBatchSize, parseNodeChoice } from '../../tracker/preheat/node-choice.ts';
import { createRegistryNames, parsePreheatRegistry } from '../../tracker/preheat/registry-names.ts';
import { parseWish } from '../../tracker/preheat/wish.ts';

t.test('which machines: what may be said', async (t) => {
  t.same(parseNodeChoice('all'), { kind: 'all' });
  t.same(parseNodeChoice('supernodes'), { kind: 'supernodes' });
  t.same(parseNodeChoice('20'), { kind: 'count', count: 20 });
  t.same(parseNodeChoice('12.5%'), { kind: 'share', share: 0.125 });
  t.same(parseNodeChoice('zone=eu-1'), { kind: 'zone', zone: 'eu-1' });
  t.same(parseNodeChoice('label=pool=gpu'), { kind: 'label', key: 'pool', value: 'gpu' });
  for (const text of ['', '0', '-1', '101%', '1.5', 'zone=', 'label=', 'some', '1e3', '%']) {
    t.throws(() => parseNodeChoice(text), { code: 'CONFIG_INVALID' }, JSON.stringify(text));
  }
});

t.test('batches', async (t) => {
  const ids = ['a', 'b', 'c', 'd', 'e'];
  t.same(inBatches(ids, undefined), [ids]);
  t.same(inBatches(ids, parseBatchSize('2')), [['a', 'b'], ['c', 'd'], ['e']]);
  t.same(inBatches(ids, parseBatchSize('1%')), [['a'], ['b'], ['c'], ['d'], ['e']]);
  t.same(inBatches([], parseBatchSize('2')), []);
});

t.test('tags by pattern, in time whatever the pattern', async (t) => {
  for (const [pattern, tag, fits] of [
    ['*', 'v1', true],
    ['v1.*', 'v1.20', true],
    ['v1.*', 'v10', false],
    ['v?', 'v1', true],
    ['v?', 'v12', false],
    ['*-rc*', 'v1-rc2', true],
    ['', 'v1', false],
    ['v1', 'v1', true],
    ['a*b*c', 'aXbXbXc', true],
    ['a*b*c', 'aXbXbX', false],
  ] as const) {
    t.equal(fitsTagPattern(pattern, tag), fits, `${pattern} ${tag}`);
  }
  // Backtracking over every star would need longer than the universe has.
  t.equal(fitsTagPattern(`${'a*'.repeat(60)}b`, 'a'.repeat(128)), false);
});

t.test('wishes that cannot be', async (t) => {
  const image = 'registry.test/team/app:v1';
  for (const wish of [
    { image: 'Not An Image' },
    { image, tags: 'v*' },
    { image: `registry.test/app@sha256:${'0'.repeat(64)}`, tags: 'v*' },
    { image, platforms: ['linux'] },
    { image, pause: '2d' },
    { image, timeout: '0' },
    { image, timeout: '25h' },
    { image, rate: '1KiB/s' },
    { image, batch: 'many' },
  ]) {
    t.throws(() => parseWish(wish), { code: /CONFIG_INVALID|REFERENCE_INVALID/ }, JSON.stringify(wish));
  }
  t.match(parseWish({ image: 'registry.test/team/app', tags: 'v*' }), { tags: 'v*', pauseMs: 0 });
});

t.test('case 70, 46: a URL names an image, or nothing', async (t) => {
  t.same(parseManifestUrl('https://harbor.corp:8443/v2/team/app/manifests/v1'), {
    host: 'harbor.corp:8443',
    repository: 'team/app',
    reference: 'v1',
  });
  for (const url of [
    'https://harbor.corp/v2/team/app/blobs/v1',
    'https://user:pass@harbor.corp/v2/team/app/manifests/v1',
    'file:///v2/team/app/manifests/v1',
    'https://harbor.corp/v2/../etc/manifests/v1',
    'https://harbor.corp/v2/team/app/manifests/..%2f',
    'http://169.254.169.254/latest/meta-data',
    'nothing',
  ]) {
    t.throws(() => parseManifestUrl(url), { code: 'REFERENCE_INVALID' }, url);
  }
});

t.test('registries: a list, patterns, other names in URLs', async (t) => {
  const names = createRegistryNames(['harbor.corp=registry:5000', '*.pkg.dev'].map(parsePreheatRegistry));
  t.ok(names.allows('harbor.corp'));
  t.ok(names.allows('eu.pkg.dev'));
  for (const other of ['evil.test', '169.254.169.254', 'localhost', 'registry:5000', '*.pkg.dev']) {
    t.notOk(names.allows(other), other);
  }
  t.equal(names.of('registry:5000'), 'harbor.corp');
  t.equal(names.of('registry-1.docker.io'), 'docker.io');
  t.ok(createRegistryNames([]).allows('anything.test'), 'without a list members decide');
  t.throws(() => parsePreheatRegistry('a=b=c'), { code: 'CONFIG_INVALID' });
});

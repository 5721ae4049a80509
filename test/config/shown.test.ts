import t from 'tap';
import { z } from 'zod';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { givenSettings, loadConfig, setting } from '../../lib/config/load.ts';
import { settingsAsYaml, shownSettings } from '../../lib/config/shown.ts';
import { size, toggle } from '../../lib/config/values.ts';
import { readYaml } from '../../lib/config/yaml.ts';

const schema = z.object({
  memory: setting(size().default(1), { argument: '<size>', help: 'for pieces (default: 256MiB)' }),
  zone: setting(z.string().default(''), { argument: '<zone>', help: 'where' }),
  insecure: setting(toggle().default(false), { help: 'plain' }),
  joinToken: setting(z.string().optional(), { argument: '<token>', secret: true, help: 'who has it' }),
  upstream: setting(z.array(z.unknown()).default([]), { argument: '<url>', repeat: true, help: 'which' }),
});

function shown(flags: Record<string, unknown>, env: Record<string, string> = {}) {
  return shownSettings(schema, givenSettings(schema, { flags, env, defaultFile: '/nowhere.yaml' }));
}

t.test('what was written stands as it was, the rest with the default of its help', async (t) => {
  t.same(shown({ memory: '1GiB' }, { DAMSELFLY_ZONE: 'eu/fra' }), [
    { name: 'memory', value: '1GiB', from: '--memory', default: '256MiB' },
    { name: 'zone', value: 'eu/fra', from: 'DAMSELFLY_ZONE', default: 'none' },
    { name: 'insecure', from: 'default', default: 'false' },
    { name: 'join-token', from: 'default', default: 'none' },
    { name: 'upstream', from: 'default', default: 'none' },
  ]);
});

t.test('nothing secret is shown, wherever it stands', async (t) => {
  const upstream = [
    'harbor.corp=https://robot:p@ss://hush@harbor.corp/x',
    { name: 'quay.io', url: ['https://me:hush@quay.io'], username: 'me', password: 'hush' },
    'redis://redis.corp?db=1&password=hush',
    'https://files.corp/x?X-Token=hush&a=b',
  ];
  const told = shown({ joinToken: 'hush', upstream });
  t.same(told.find(({ name }) => name === 'upstream')?.value, [
    'harbor.corp=https://[secret]@harbor.corp/x',
    { name: 'quay.io', url: ['https://[secret]@quay.io'], username: 'me', password: '[secret]' },
    'redis://redis.corp?db=1&password=[secret]',
    'https://files.corp/x?X-Token=[secret]&a=b',
  ]);
  t.equal(told.find(({ name }) => name === 'join-token')?.value, '[secret]');
  t.notMatch(settingsAsYaml(told), /hush|p@ss/);
});

t.test('as YAML it is a settings file that gives the same settings', async (t) => {
  const flags = {
    ...{
      upstream: ['harbor.corp=https://harbor.corp'],
      forwardRule: ['direct ^https://a[:#]'],
      zone: 'eu/fra',
    },
    ...{ tracker: ['wss://a:1', 'wss://b:2'], uploadRate: '20MB/s', insecure: true, staleIfError: '24h' },
  };
  const sources = { flags, env: { DAMSELFLY_LABEL: 'pool=gpu, disk=nvme' }, defaultFile: '/nowhere.yaml' };
  const text = settingsAsYaml(shownSettings(daemonConfig, givenSettings(daemonConfig, sources)));
  const config = `${t.testdir({ 'daemon.yaml': text })}/daemon.yaml`;
  const again = loadConfig(daemonConfig, { flags: { config }, env: {}, defaultFile: '/nowhere.yaml' });
  t.same(again, loadConfig(daemonConfig, sources));
  // Also what is a comment there could be taken out of it.
  for (const [, name = ''] of text.matchAll(/^# ([a-z-]+): /gm)) t.notOk(name in flags, name);
  const nothing = settingsAsYaml(shown({}));
  t.match(readYaml(nothing), { kind: 'value', value: null });
});

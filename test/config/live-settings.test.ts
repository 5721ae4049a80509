import t from 'tap';
import { z } from 'zod';
import { LiveSettings, type PushedValues } from '../../lib/command/live-settings.ts';
import { checkSetting, loadConfig, setting } from '../../lib/config/load.ts';
import { size } from '../../lib/config/values.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';

const schema = z.object({
  speed: setting(size().default(1), { help: 'live' }),
  memory: setting(size().optional(), { help: 'live' }),
  zone: setting(z.string().default(''), { help: 'fixed' }),
});
type Config = z.output<typeof schema>;

/** Settings whose file is `file`, with --speed as flag. */
function start(flags: Record<string, unknown> = {}) {
  const env: Record<string, string> = {};
  const applied: Record<string, unknown>[] = [];
  const read = (pushed: PushedValues): Config =>
    loadConfig(schema, { flags, env, defaultFile: '/nowhere.yaml', pushed });
  const metrics = createMetrics({ defaults: false });
  const table = {
    speed: ({ speed }: Config) => void applied.push({ speed }),
    memory: ({ memory }: Config) => void applied.push({ memory }),
  };
  const live = new LiveSettings<Config>({ log: silentLog(), metrics }, { config: read({}), read, table });
  const count = async (source: string, outcome: string): Promise<number> => {
    const { values } = await metrics.settingsChanges.get();
    return values.find(({ labels }) => labels.source === source && labels.outcome === outcome)?.value ?? 0;
  };
  return { live, env, applied, count };
}

t.test('only what changed is applied', async (t) => {
  const { applied, count, env, live } = start();
  env['DAMSELFLY_SPEED'] = '2KiB';
  t.same(live.reload(), { kind: 'applied', names: ['speed'] });
  t.same(live.reload(), { kind: 'applied', names: [] });
  t.same(applied, [{ speed: 2048 }]);
  t.equal(live.config.speed, 2048);
  t.equal(await count('file', 'applied'), 2);
});

t.test('a change with something wrong in it is refused as a whole', async (t) => {
  const { applied, count, env, live } = start();
  for (const [name, value, reason] of [
    ['DAMSELFLY_MEMORY', 'lots', /DAMSELFLY_MEMORY: got "lots"/],
    ['DAMSELFLY_ZONE', 'b', /^zone: cannot be changed/],
  ] as const) {
    env['DAMSELFLY_SPEED'] = '2KiB';
    env[name] = value;
    t.match(live.reload(), { kind: 'refused', reason });
    t.match(live.refusals.join(), new RegExp(reason.source.replace('^', '')));
    delete env[name];
  }
  t.same([applied, live.config.speed], [[], 1]);
  t.equal(await count('file', 'refused'), 2);
  live.reload();
  t.same([applied, live.refusals], [[{ speed: 2048 }], []], 'what is right again is no longer told of');
});

t.test('the cluster wins over flag, environment and file, until it takes its word back', async (t) => {
  const { applied, live } = start({ speed: '3KiB' });
  t.equal(live.config.speed, 3072);
  live.push({ speed: '5KiB', memory: '1KiB' });
  t.same([live.config.speed, live.config.memory], [5120, 1024]);
  live.push({ memory: '1KiB' });
  t.same([live.config.speed, live.config.memory], [3072, 1024]);
  live.push({});
  t.equal(live.config.memory, undefined);
  t.same(applied, [{ speed: 5120 }, { memory: 1024 }, { speed: 3072 }, { memory: undefined }]);
});

t.test('of the cluster too: all or nothing, and what held before still holds', async (t) => {
  const { live } = start();
  live.push({ speed: '5KiB' });
  for (const wrong of [
    { speed: '6KiB', memory: 'x' },
    { speed: '6KiB', zone: 'b' },
    { speed: '6KiB', newer: '1' },
  ]) {
    t.match(live.push(wrong), { kind: 'refused' });
    t.equal(live.config.speed, 5120);
  }
  live.reload();
  t.equal(live.config.speed, 5120);
  t.equal(live.refusals.length, 1);
  live.push({ speed: '5KiB' });
  t.same(live.refusals, [], 'the cluster has taken back what could not be done');
});

t.test('a value is checked by the rules of its setting', async (t) => {
  checkSetting(schema, 'speed', '5KiB');
  const wrong = { code: 'CONFIG_INVALID' };
  t.throws(() => checkSetting(schema, 'speed', 'fast'), { ...wrong, message: /^speed: got "fast"; / });
  t.throws(() => checkSetting(schema, 'nothing', '1'), { ...wrong, message: /no such setting/ });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadPause, type Pause } from '../../dfget/daemon/pause.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';

const UPSTREAMS = ['harbor.corp', 'quay.io'];

function start(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-pause-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const metrics = createMetrics({ defaults: false });
  const load = (): Promise<Pause> =>
    loadPause({ log: silentLog(), metrics }, { folder, upstreams: UPSTREAMS });
  const gauge = async (): Promise<number | undefined> => (await metrics.paused.get()).values[0]?.value;
  return { folder, load, gauge };
}

const pausedOf = (pause: Pause): string[] => UPSTREAMS.filter(pause.isPaused);

t.test('one upstream, all of them, and back', async (t) => {
  const { load, gauge } = start(t);
  const pause = await load();
  t.same(pausedOf(pause), []);
  await pause.pause('quay.io');
  await pause.pause('quay.io');
  t.same([pausedOf(pause), pause.paused, await gauge()], [['quay.io'], ['quay.io'], 1]);
  await pause.pause('all');
  t.same([pausedOf(pause), pause.paused, await gauge()], [UPSTREAMS, ['all'], 2]);
  await t.rejects(pause.resume('quay.io'), { code: 'CONFIG_INVALID', message: /resume all/ });
  await pause.resume('all');
  t.same([pausedOf(pause), pause.paused, await gauge()], [[], [], 0]);
});

t.test('it outlives the daemon', async (t) => {
  const { load, gauge } = start(t);
  await (await load()).pause('quay.io');
  const again = await load();
  t.same([pausedOf(again), await gauge()], [['quay.io'], 1]);
  await again.resume('quay.io');
  t.same(pausedOf(await load()), []);
});

t.test('what cannot be read is taken for everything', async (t) => {
  for (const text of ['{', '{}', '']) {
    const { folder, load } = start(t);
    writeFileSync(join(folder, 'paused.json'), text);
    t.same(pausedOf(await load()), UPSTREAMS, JSON.stringify(text));
  }
});

t.test('a name that is no upstream is refused, and the others are named', async (t) => {
  const pause = await start(t).load();
  for (const action of ['pause', 'resume'] as const) {
    await t.rejects(pause[action]('nope'), { code: 'UPSTREAM_UNKNOWN', message: /harbor\.corp, quay\.io/ });
  }
});

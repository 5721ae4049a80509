import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startCluster } from '../../bench/fixtures/cluster.ts';
import { dfgetPreheat } from '../helpers/preheating.ts';

t.test('orders by number with two trackers, and with one of them gone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'damselfly-preheat-trackers-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const cluster = await startCluster({
    ...{ folder, nodes: 1, supernodes: 0, trackers: 2, secure: false },
    upstreams: { 'registry.test': 'http://127.0.0.1:1' },
  });
  t.teardown(() => cluster.stop());
  const [a = '', b = ''] = cluster.trackers.map(({ ready }) => ready.listen);
  const plan = join(folder, 'plan.yaml');
  await writeFile(plan, 'images: [registry.test/app:v1]\nstages: [{ nodes: label=none }]\n');
  const preheat = (...words: readonly string[]) => dfgetPreheat(cluster, ...words);

  t.match(await preheat('--plan', plan, '--tracker', b), {
    code: 1,
    events: [{ event: 'plan', id: 1, state: 'stopped', tracker: `ws://${b}/control` }],
  });
  t.match(await preheat('--resume', '1'), { code: 1, events: [{ id: 1, tracker: `ws://${b}/control` }] });
  t.match(await preheat('--plan', plan, '--tracker', a, '--detach'), { code: 0, events: [{ id: 1 }] });
  t.match((await preheat('--list')).events, [
    { tracker: `ws://${a}/control` },
    { tracker: `ws://${b}/control` },
  ]);
  const unclear = await preheat('--cancel', '1');
  t.match(unclear, { code: 2, output: new RegExp(`--cancel 1 --tracker ws://${b}`) });
  t.match(await preheat('--cancel', '1', '--tracker', `ws://${b}`), {
    code: 0,
    events: [{ id: 1, state: 'canceled', tracker: `ws://${b}/control` }],
  });

  await cluster.trackers[1]?.kill('SIGKILL');
  t.match(await preheat('--cancel', '1'), { code: 2, output: new RegExp(`--cancel 1 --tracker ws://${a}`) });
  t.match(await preheat('--list'), { code: 0, output: new RegExp(`ws://${b} does not answer`) });
  t.match(await preheat('--cancel', '1', '--tracker', a), { code: 0, events: [{ state: 'canceled' }] });
  t.match(await preheat('--cancel', '1', '--tracker', b), { code: 1, output: /TRACKER_UNREACHABLE/ });
});

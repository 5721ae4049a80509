import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, startChild } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { dfgetPreheat, imageOf } from '../helpers/preheating.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const DAMSELFLY = join(import.meta.dirname, '..', '..', 'bin', 'damselfly');

t.test('a staged rollout from a file: stopped, its tracker killed, resumed', { skip }, async (t) => {
  const asked: string[] = [];
  const health = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end('ok');
  });
  health.listen(0, '127.0.0.1');
  await once(health, 'listening');
  t.teardown(() => health.close());
  const origin = `http://127.0.0.1:${(health.address() as AddressInfo).port}`;

  await using stage = await createStage('rollout', { image: { totalBytes: 12 * MIB, layers: 3 } });
  const cluster = await stage.startCluster({
    nodes: 3,
    supernodes: 1,
    secure: false,
    daemonFlags: ['--discovery', 'tracker'],
    trackerFlags: ['--preheat-health', origin],
  });
  const before = await stage.registry.counters();
  const file = join(stage.folder, 'rollout.yaml');
  const text = `name: app
images: ['${imageOf(stage)}']
gate: { failed: 10%, health: '${origin}/ok' }
stages:
  - name: canary
    nodes: 1
    pause: 1h
  - name: rest
    nodes: all
    batch: 1
`;
  await writeFile(file, text.replace('nodes: all', 'nodes: nobody'));
  t.match(await dfgetPreheat(cluster, '--plan', file), {
    code: 2,
    output: /CONFIG_INVALID.*rollout.yaml:9: stages\[1\].nodes: .*nobody/,
  });
  t.match(await dfgetPreheat(cluster, '--plan', join(stage.folder, 'none')), {
    code: 1,
    output: /FILE_FAILED/,
  });

  await writeFile(file, text);
  const made = await dfgetPreheat(cluster, '--plan', file, '--detach');
  t.match(made, { code: 0, events: [{ event: 'plan', name: 'app', state: 'running' }] }, made.output);
  const { id } = made.events[0] ?? { id: 0 };
  const deadline = AbortSignal.timeout(60_000);
  const listed = async () =>
    (await dfgetPreheat(cluster, '--list')).events.find(({ event }) => event === 'plan');
  for (;;) {
    deadline.throwIfAborted();
    const plan = (await listed()) as unknown as { phase: string } | undefined;
    if (plan?.phase === 'pause') break;
  }
  t.match(await dfgetPreheat(cluster, '--stop', String(id)), { code: 0, events: [{ state: 'stopped' }] });

  const { http, listen } = cluster.tracker.ready;
  await cluster.tracker.kill('SIGKILL');
  const fixed = ['--json', '--insecure', '--log-level', 'warn', '--listen', listen, '--http-listen', http];
  const tracker = await startChild({
    command: DAMSELFLY,
    args: [
      ...['tracker', ...fixed, '--admin-listen', '127.0.0.1:0', '--preheat-health', origin],
      ...['--data-dir', join(stage.folder, 'tracker')],
    ],
    logFile: join(stage.folder, 'tracker-again.log'),
    ready: jsonReady('tracker'),
  });
  stage.cleanup.defer(() => tracker.stop());
  while ((await listed()) === undefined) deadline.throwIfAborted();

  // A plan is not changed: another one takes its place.
  t.match(await listed(), { state: 'stopped', stages: [{ done: 1 }, { machines: 0 }] });
  t.match(await dfgetPreheat(cluster, '--cancel', String(id)), { code: 0, events: [{ state: 'canceled' }] });
  await writeFile(file, text.replace('pause: 1h', 'pause: 1ms'));
  const done = await dfgetPreheat(cluster, '--plan', file);
  t.equal(done.code, 0, done.output);
  t.match(done.events.at(-1), {
    ...{ event: 'plan', state: 'succeeded', images: [{ digest: stage.image.manifest.digest }] },
    stages: [
      { name: 'canary', machines: 1, done: 1, batches: 1 },
      { name: 'rest', machines: 2, done: 2, batch: 2, batches: 2, failed: 0 },
    ],
  });
  t.match(await dfgetPreheat(cluster, '--resume', String(done.events.at(-1)?.id)), {
    code: 1,
    output: /PLAN_STOPPED/,
  });
  t.ok(asked.length >= 4 && asked.every((url) => url === '/ok'), 'its health is asked before each batch');
  const { bytes } = countersSince(before, await stage.registry.counters());
  t.ok(bytes <= stage.image.bytes * 1.01, `the registry sent ${bytes} for ${stage.image.bytes}`);
});

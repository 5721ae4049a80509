import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { dfgetPreheat, imageOf, preheatsAll } from '../helpers/preheating.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const bin = (name: string): string => join(import.meta.dirname, '..', '..', 'bin', name);

/** The status of an answer, whoever gives it. */
async function statusOf(url: string, options: RequestOptions): Promise<number | undefined> {
  const asked = request(url, { ...options, rejectUnauthorized: false, agent: false }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

t.test('a cluster with identities is preheated by dfget', { skip }, async (t) => {
  await using stage = await createStage('preheat', { image: { totalBytes: 12 * MIB, layers: 3 } });
  const daemonFlags = ['--label', 'pool=gpu', '--zone', 'eu-1'];
  const cluster = await stage.startCluster({ nodes: 3, supernodes: 1, secure: true, daemonFlags });

  await t.test('what is wrong is said before anything is done', async (t) => {
    const wrong = await dfgetPreheat(cluster, imageOf(stage), '--nodes', 'some');
    t.match(wrong, { code: 2, output: /CONFIG_INVALID.*some/ });
    const nobody = await dfgetPreheat(cluster, imageOf(stage), '--nodes', 'label=pool=cpu');
    t.match(nobody, { code: 1, output: /no machine that is connected fits/ });
    const unknown = await dfgetPreheat(cluster, 'unknown.test/app:v1');
    t.match(unknown, { code: 1, output: /UPSTREAM_UNKNOWN/ });
    t.match(await dfgetPreheat(cluster), { code: 2 });
  });

  await t.test('one of a zone, then all with a label: one read, and no pull asks for a blob', async (t) => {
    const before = await stage.registry.counters();
    const one = await dfgetPreheat(cluster, imageOf(stage), '--nodes', 'zone=eu-1', '--batch', '1');
    t.equal(one.code, 0, one.output);
    t.match(one.events.at(-1), { batches: 3, targets: { total: 3, done: 3 } });
    const { bytes } = countersSince(before, await stage.registry.counters());
    t.ok(bytes <= stage.image.bytes * 1.01, `${bytes} for ${stage.image.bytes}`);
    const again = await dfgetPreheat(cluster, imageOf(stage), '--nodes', 'label=pool=gpu');
    t.match(again.events.at(-1), { state: 'succeeded', nodes: 'label=pool=gpu' });
  });

  await t.test('who is no member, and shows no key, may ask nothing from elsewhere', async (t) => {
    const url = `https://${cluster.tracker.ready.http}/api/v1/preheats`;
    // The test is on the same machine, and comes as if it were not.
    const elsewhere = { forwarded: 'for=10.0.0.1' };
    t.equal(await statusOf(url, { headers: elsewhere }), 401);
    t.equal(await statusOf(url, {}), 200);
    const identity = join(stage.folder, 'node0', 'identity');
    const [cert, key] = ['member.crt', 'member.key'].map((name) => readFileSync(join(identity, name)));
    t.equal(await statusOf(url, { headers: elsewhere, ...(cert && { cert }), ...(key && { key }) }), 200);
  });
});

t.test('one image to all nodes, and a tracker that is killed meanwhile', { skip }, async (t) => {
  await using stage = await createStage('preheat-restart', {
    ...{ image: { totalBytes: 24 * MIB, layers: 3 }, registryRate: 6 * MIB },
  });
  const cluster = await stage.startCluster({
    nodes: 3,
    supernodes: 1,
    secure: false,
    daemonFlags: ['--discovery', 'tracker'],
  });
  const { http, listen } = cluster.tracker.ready;
  const socket = cluster.daemons[0]?.ready.socket ?? '';

  await t.test('the job goes on, and whoever watches it hears its end', async (t) => {
    const before = await stage.registry.counters();
    const watching = dfgetPreheat(cluster, imageOf(stage), '--nodes', 'all');
    const deadline = AbortSignal.timeout(30_000);
    for (let held = 0; held === 0; ) {
      deadline.throwIfAborted();
      const { stdout } = await run(bin('dfget'), ['preheat', '--list', '--json', '--socket', socket]);
      held = (JSON.parse(stdout || '{}') as { doneBytes?: number }).doneBytes ?? 0;
    }
    await cluster.tracker.kill('SIGKILL');
    const tracker = await startChild({
      command: bin('damselfly'),
      args: [
        ...[
          'tracker',
          '--json',
          '--insecure',
          '--log-level',
          'warn',
          '--listen',
          listen,
          '--http-listen',
          http,
        ],
        ...['--admin-listen', '127.0.0.1:0', '--data-dir', join(stage.folder, 'tracker')],
      ],
      logFile: join(stage.folder, 'tracker-again.log'),
      ready: jsonReady('tracker'),
    });
    stage.cleanup.defer(() => tracker.stop());
    const { code, events, output } = await watching;
    t.equal(code, 0, output);
    t.match(events.at(-1), { state: 'succeeded', targets: { total: 3, done: 3 } });
    const { bytes } = countersSince(before, await stage.registry.counters());
    t.ok(bytes <= stage.image.bytes * 1.01, `${bytes} for ${stage.image.bytes}`);
  });

  await t.test('all have it: nothing is read again', async (t) => preheatsAll(t, stage, cluster));
});

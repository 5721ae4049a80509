import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

interface Ready {
  readonly parts: readonly { readonly process: string; readonly socket?: string }[];
}

const bin = (name: string): string => join(import.meta.dirname, '..', '..', 'bin', name);

t.test(
  'the five minutes of the README: everything on one machine, a pull, a second one, status, and an end',
  { skip: skipReason({ programs: ['docker-registry'] }) },
  async (t) => {
    const stage = await createStage('up');
    t.teardown(() => stage[Symbol.asyncDispose]());
    const { image, registry, repository } = stage;
    const socket = join(stage.folder, 'up.sock');
    const free = '127.0.0.1:0';
    const up = await startChild<Ready>({
      command: bin('damselfly'),
      args: [
        ...['up', '--json', '--log-level', 'info', '--upstream', `${NAMESPACE}=http://${stage.upstream}`],
        ...['--data-dir', join(stage.folder, 'up'), '--socket', socket],
        ...['--proxy-listen', free, '--peer-listen', free, '--admin-listen', free],
        ...['--supernode-peer-listen', free, '--supernode-admin-listen', free],
        ...['--tracker-listen', free, '--tracker-http-listen', free],
        ...['--tracker-admin-listen', free],
      ],
      logFile: join(stage.folder, 'up.log'),
      ready: jsonReady('up'),
    });
    t.teardown(() => up.stop());
    t.same(
      up.ready.parts.map((part) => part.process),
      ['tracker', 'supernode', 'daemon'],
    );

    const reference = `${NAMESPACE}/${repository}:${image.tag}`;
    const pull = async (): Promise<Record<string, unknown>> => {
      const { stdout } = await run(bin('dfget'), ['pull', '--json', '--socket', socket, reference]);
      return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
    };
    const before = await registry.counters();
    t.match(await pull(), { event: 'done', digest: image.manifest.digest, blobs: image.layers.length + 1 });
    const first = countersSince(before, await registry.counters()).bytes;
    t.ok(
      first >= image.bytes * 0.99 && first <= image.bytes * 1.01,
      `the registry sent it once (${first} bytes)`,
    );
    t.match(await pull(), { event: 'done', digest: image.manifest.digest });
    const second = countersSince(before, await registry.counters()).bytes - first;
    t.ok(second < 100_000, `the second pull found it here (${second} bytes)`);

    const status = JSON.parse(
      (await run(bin('dfget'), ['status', '--json', '--socket', socket])).stdout,
    ) as object;
    t.match(status, {
      upstreams: [NAMESPACE],
      tracker: { reachable: true },
      store: { complete: image.layers.length + 1 },
    });
    t.match((await run(bin('dfget'), ['status', '--socket', socket])).stdout, /peers by +trackers/);

    for (const words of [['settings', 'get'], ['upgrade']]) {
      const { code, output } = await run(bin('dfget'), [...words, '--socket', socket]);
      t.equal(code, 2, words.join(' '));
      t.match(output, /CONFIG_INVALID: the node of "damselfly up" .*started again/);
    }

    const asked = performance.now();
    await up.kill('SIGTERM');
    t.ok(performance.now() - asked < 5000, 'SIGTERM ends it within five seconds');
  },
);

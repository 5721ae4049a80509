import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { startCluster } from '../../bench/fixtures/cluster.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';

const DFGET = join(import.meta.dirname, '../../bin/dfget');
/** A file is looked at each second, twice. */
const IN_FORCE_MS = 20_000;

interface Limits {
  readonly uploadRate: number | 'none';
  readonly registryRate: number | 'none';
}

t.test('settings change while nodes run, by file and by cluster: all of a change or nothing', async (t) => {
  await using folder = await tempFolder('settings');
  const file = join(folder.path, 'node.yaml');
  await writeFile(file, 'upload-rate: 10MiB/s\n');
  await writeFile(join(folder.path, 'supernode.yaml'), '');
  const cluster = await startCluster({
    ...{ folder: folder.path, nodes: 3, supernodes: 1 },
    upstreams: { 'registry.test': 'http://127.0.0.1:1' },
    supernodeFlags: ['--config', join(folder.path, 'supernode.yaml')],
    daemonFlags: ['--config', file, '--registry-rate', '90MiB/s'],
  });
  t.teardown(() => cluster.stop());
  const MIB = 1024 * 1024;
  const ask = async (node: number, path: string): Promise<string> =>
    await (await fetch(`http://${cluster.daemons[node]?.ready.admin ?? ''}${path}`)).text();
  const limits = async (): Promise<(readonly [number | 'none', number | 'none'])[]> =>
    await Promise.all(
      cluster.daemons.map(async (_, node) => {
        const { registryRate, uploadRate } = JSON.parse(await ask(node, '/v1/limits')) as Limits;
        return [uploadRate, registryRate] as const;
      }),
    );
  /** Looks until it is as wanted, or time is up. */
  const settled = async <T>(look: () => Promise<T>, wanted: T): Promise<T> => {
    const untilMs = performance.now() + IN_FORCE_MS;
    for (;;) {
      const now = await look();
      if (isDeepStrictEqual(now, wanted) || performance.now() > untilMs) return now;
    }
  };
  const all = <T>(value: T): T[] => [value, value, value];
  const asOperator = [
    ...['--tracker', `wss://${cluster.tracker.ready.listen}`, '--ca-dir', cluster.caDir ?? ''],
  ];
  const settings = (...args: string[]) =>
    run(DFGET, ['settings', ...args, '--socket', cluster.daemons[0]?.ready.socket ?? '']);
  const operate = (...args: string[]) => run(DFGET, ['settings', ...args, ...asOperator]);
  const refused = async (): Promise<number> =>
    Number(
      /^damselfly_settings_changes_total\{source="file",outcome="refused"\} (\d+)/m.exec(
        await ask(1, '/metrics'),
      )?.[1] ?? 0,
    );

  await t.test('the file, replaced by a rename', async (t) => {
    await writeFile(`${file}.new`, 'upload-rate: 20MiB/s\nlog-level: error\n');
    await rename(`${file}.new`, file);
    const wanted = all([20 * MIB, 90 * MIB] as const);
    t.same(await settled(limits, wanted), wanted);
  });

  await t.test('a supernode follows its file as well', async (t) => {
    await writeFile(join(folder.path, 'supernode.yaml'), 'registry-rate: 33MiB/s\n');
    const rate = async (): Promise<unknown> => {
      const answer = await fetch(`http://${cluster.supernodes[0]?.ready.admin ?? ''}/v1/limits`);
      return ((await answer.json()) as Limits).registryRate;
    };
    t.equal(await settled(rate, 33 * MIB), 33 * MIB);
  });

  await t.test(
    'one bad value, or one that needs a restart: nothing is applied, and it is told why',
    async (t) => {
      for (const [index, text, reason] of [
        [1, 'upload-rate: 30MiB/s\nbuffer-memory: lots\n', /buffer-memory: got \\"lots\\"/],
        [2, 'upload-rate: 30MiB/s\nzone: other\n', /zone: cannot be changed while/],
      ] as const) {
        await writeFile(file, text);
        t.equal(await settled(refused, index), index, 'in the metrics');
        t.match(await ask(1, '/readyz'), reason, 'at /readyz');
        t.same(await limits(), all([20 * MIB, 90 * MIB]));
      }
      await writeFile(file, 'upload-rate: 40MiB/s\n');
      const wanted = all([40 * MIB, 90 * MIB] as const);
      t.same(await settled(limits, wanted), wanted, 'until it is right again');
      t.notMatch(await ask(1, '/readyz'), /not in force/);
    },
  );

  await t.test('pushed to all nodes, to one, and taken back', async (t) => {
    t.match(
      await settings('set', 'upload-rate=1MiB/s'),
      { code: 1, output: /IDENTITY_REFUSED/ },
      'not by a node',
    );
    t.match(await operate('set', 'registry-rate=5MiB/s', 'upload-rate=6MiB/s'), { code: 0 });
    const wanted = all([6 * MIB, 5 * MIB] as const);
    t.same(await settled(limits, wanted), wanted, 'over flags and file');
    const { id } = JSON.parse(
      (await run(DFGET, ['status', '--json', '--socket', cluster.daemons[2]?.ready.socket ?? ''])).stdout,
    ) as { id: string };
    t.match(await operate('set', 'upload-rate=1MiB/s', '--node', id.slice(0, 12)), { code: 0 });
    const other = [[6 * MIB, 5 * MIB] as const, [6 * MIB, 5 * MIB] as const, [MIB, 5 * MIB] as const];
    t.same(await settled(limits, other), other);
    t.match(JSON.parse((await settings('get', '--json')).stdout), {
      inForce: { 'upload-rate': 6 * MIB, 'log-level': 'warn' },
      rules: [
        { values: { 'registry-rate': '5MiB/s' } },
        { node: id.slice(0, 12), values: { 'upload-rate': '1MiB/s' } },
      ],
    });

    await cluster.daemons[1]?.kill('SIGKILL');
    await cluster.restartDaemon(1);
    t.same(await settled(limits, other), other, 'a node that starts again has them too');

    const bad = await operate('set', 'upload-rate=7MiB/s', 'max-connections=3');
    t.match(bad, { code: 2, output: /CONFIG_INVALID: max-connections: got "3"; expected a whole number/ });
    const fixed = await operate('set', 'upload-rate=7MiB/s', 'zone=x');
    t.match(fixed, { code: 2, output: /zone: cannot be changed while nodes run; what can be: upload-rate/ });
    t.same(await limits(), other, 'nothing of a wrong change is in force');

    t.match(await operate('unset', 'upload-rate', '--node', id.slice(0, 12)), { code: 0 });
    t.match(await operate('unset', 'upload-rate', 'registry-rate'), { code: 0 });
    const own = all([40 * MIB, 90 * MIB] as const);
    t.same(await settled(limits, own), own, 'their own again');
  });
});

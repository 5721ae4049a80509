import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { sumMetric } from '../../bench/fixtures/metrics.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';
import { followDaemon, upgrade } from '../helpers/upgrading.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** What may still run somewhere while this version is rolled out; another one: DAMSELFLY_PREVIOUS=COMMIT. */
const PREVIOUS = process.env['DAMSELFLY_PREVIOUS'] ?? 'f74b276af356d9c0b96e992ae14319aca4f3dd99';
const MIB = 1024 * 1024;

function whySkipped(): string | false {
  const there = spawnSync('git', ['-C', ROOT, 'cat-file', '-e', `${PREVIOUS}^{commit}`]).status === 0;
  return there
    ? skipReason({ programs: ['docker-registry', 'tar'] })
    : `no commit ${PREVIOUS} in this checkout`;
}

const skip = whySkipped();
let previous = '';

t.before(() => {
  if (skip !== false) return;
  previous = mkdtempSync(join(tmpdir(), 'damselfly-previous-'));
  const archive = execFileSync('git', ['-C', ROOT, 'archive', PREVIOUS], { maxBuffer: 1024 * MIB });
  execFileSync('tar', ['-x', '-C', previous], { input: archive });
  symlinkSync(join(ROOT, 'node_modules'), join(previous, 'node_modules'));
});
t.teardown(() => previous !== '' && rmSync(previous, { recursive: true, force: true }));

/** Which processes are of the previous version: trackers and supernodes are rolled out before nodes. */
const ROLLOUTS: readonly (readonly [string, readonly string[]])[] = [
  ['only the tracker is new', ['supernode0', 'node0', 'node1']],
  ['tracker and supernode are new', ['node0', 'node1']],
  ['one node is old yet', ['node1']],
  ['a node came before the others', ['tracker', 'supernode0', 'node1']],
  ['only the supernode is old', ['supernode0']],
];

for (const [when, old] of ROLLOUTS) {
  t.test(`both versions share an image when ${when}`, { skip }, async (t) => {
    await using stage = await createStage('mixed', { image: { totalBytes: 48 * MIB, layers: 3 } });
    const checkout = (name: string): string => (old.includes(name) ? previous : ROOT);
    const cluster = await stage.startCluster({ nodes: 2, supernodes: 1, checkout });
    const before = await stage.registry.counters();
    const reference = `${NAMESPACE}/${stage.repository}:${stage.image.tag}`;
    const pulls = await Promise.all(
      cluster.daemons.map(({ name, ready }) =>
        run(join(checkout(name), 'bin', 'dfget'), ['pull', '--json', '--socket', ready.socket, reference]),
      ),
    );
    for (const { code, output } of pulls) t.equal(code, 0, output);
    const { bytes } = countersSince(before, await stage.registry.counters());
    t.ok(bytes < stage.image.bytes * 1.01, `the registry sent it once (${bytes} bytes)`);
    for (const { name, ready } of cluster.daemons) {
      const fromPeer = await sumMetric([ready.admin], 'damselfly_received_bytes_total', { source: 'peer' });
      t.ok(fromPeer > 0, `${name} has pieces of the other node`);
    }
  });
}

t.test('a daemon is upgraded and rolled back, and keeps what it holds', { skip }, async (t) => {
  await using stage = await createStage('rolled', { image: { totalBytes: 24 * MIB, layers: 2 } });
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 1, checkout: () => previous });
  const last = followDaemon(stage, cluster, 0);
  const reference = `${NAMESPACE}/${stage.repository}:${stage.image.tag}`;
  const dfget = (checkout: string): string => join(checkout, 'bin', 'dfget');
  const pull = async (checkout: string): Promise<number> => {
    const before = await stage.registry.counters();
    const socket = cluster.daemons[0]?.ready.socket ?? '';
    const { code, output } = await run(dfget(checkout), ['pull', '--json', '--socket', socket, reference]);
    t.equal(code, 0, output);
    return countersSince(before, await stage.registry.counters()).bytes;
  };
  t.ok((await pull(previous)) > stage.image.bytes * 0.99, 'the first pull reads the registry');
  for (const [what, checkout] of [
    ['upgraded', ROOT],
    ['rolled back', previous],
    ['upgraded again', ROOT],
  ] as const) {
    last.pid = await upgrade(cluster, 0, dfget(checkout));
    t.ok((await pull(checkout)) < stage.image.bytes * 0.01, `${what}: the image is here`);
  }
});

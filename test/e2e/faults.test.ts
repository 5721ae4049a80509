import t from 'tap';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import type { PullRequest } from '../../bench/fixtures/pull.ts';
import { type PullOutcome, pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
/** Slow enough that a pull takes seconds, so that its middle can be hit. */
const REGISTRY_RATE = 16 * MIB;
const NODES = 4;
/** Of an image, by any one node, when the fault strikes. */
const MIDDLE = 0.3;
/** A fault costs seconds, not minutes. */
const DEADLINE_MS = 60_000;

async function stageWith(name: string, totalBytes = 48 * MIB): Promise<Stage> {
  return createStage(name, { registryRate: REGISTRY_RATE, image: { totalBytes, layers: 3 } });
}

/** All daemons pull at once; `strike` is called once, when one of them is in the middle. */
async function pullAll(stage: Stage, cluster: Cluster, strike?: () => Promise<void>): Promise<PullOutcome[]> {
  let struck: Promise<void> | undefined;
  const requests = cluster.daemons.map(
    (daemon): PullRequest => ({ base: proxyUrl(daemon), repository: stage.repository, tag: stage.image.tag }),
  );
  const outcomes = await pullTogether(requests, {
    signal: AbortSignal.timeout(DEADLINE_MS),
    workers: 2,
    onProgress: (_puller, bytes) => {
      if (bytes > stage.image.bytes * MIDDLE) struck ??= strike?.();
    },
  });
  if (strike !== undefined && struck === undefined) throw new Error('no pull ever reached its middle');
  await struck;
  return outcomes;
}

const complete = ({ image }: Stage): object => ({
  kind: 'done',
  result: { manifestDigest: image.manifest.digest, bytes: image.bytes },
});

t.test(
  'a node daemon killed in the middle fails no other pull, and costs the registry nothing',
  { skip },
  async (t) => {
    await using stage = await stageWith('kill-node');
    const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1 });
    const before = await stage.registry.counters();
    const [victim, ...others] = await pullAll(stage, cluster, async () =>
      cluster.daemons[0]?.kill('SIGKILL'),
    );
    t.match(others, Array(NODES - 1).fill(complete(stage)));
    t.equal(victim?.kind, 'failed', 'the strike did hit the middle');
    const ratio = countersSince(before, await stage.registry.counters()).bytes / stage.image.bytes;
    // A machine that is busy with other things may let a node step aside for a piece or two.
    t.ok(ratio <= 1.1, `the registry sent ${ratio.toFixed(3)}x the image`);
  },
);

t.test('a node daemon killed in the middle starts again on its data and completes', { skip }, async (t) => {
  await using stage = await stageWith('restart-node');
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 1 });
  const [first] = await pullAll(stage, cluster, async () => cluster.daemons[0]?.kill('SIGKILL'));
  t.equal(first?.kind, 'failed');
  await cluster.restartDaemon(0);
  t.match(await pullAll(stage, cluster), [complete(stage)]);
  const metrics = await (await fetch(`http://${cluster.daemons[0]?.ready.admin ?? ''}/metrics`)).text();
  const received = [...metrics.matchAll(/^damselfly_received_bytes_total\{.*\} (\d+)/gm)];
  const share = received.reduce((sum, [, bytes]) => sum + Number(bytes), 0) / stage.image.bytes;
  // The client had 30 % when it was killed, and what a client has is on disk; the last pieces may have been under way.
  t.ok(share <= 1 - MIDDLE + 0.05, `it fetched ${share.toFixed(3)} of the image after that`);
});

t.test('the only supernode killed in the middle ends no pull', { skip }, async (t) => {
  await using stage = await stageWith('kill-supernode');
  const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1 });
  const outcomes = await pullAll(stage, cluster, async () => cluster.supernodes[0]?.kill('SIGKILL'));
  t.match(outcomes, Array(NODES).fill(complete(stage)));
});

t.test('one of two supernodes killed in the middle ends no pull', { skip }, async (t) => {
  // Some 10 MiB are in the buffers of both kernels when it dies, whatever the size of the image.
  await using stage = await stageWith('kill-one-supernode', 96 * MIB);
  const cluster = await stage.startCluster({ nodes: NODES, supernodes: 2 });
  const before = await stage.registry.counters();
  const outcomes = await pullAll(stage, cluster, async () => cluster.supernodes[0]?.kill('SIGKILL'));
  t.match(outcomes, Array(NODES).fill(complete(stage)));
  const ratio = countersSince(before, await stage.registry.counters()).bytes / stage.image.bytes;
  // The new owner reads what the old one had not passed on, and what was on its way when it died.
  t.comment(`the registry sent ${ratio.toFixed(3)}x the image`);
  t.ok(ratio <= 1.3, `the registry sent ${ratio.toFixed(3)}x the image`);
});

t.test('the tracker killed in the middle ends no pull', { skip }, async (t) => {
  await using stage = await stageWith('kill-tracker');
  const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1 });
  const outcomes = await pullAll(stage, cluster, () => cluster.tracker.kill('SIGKILL'));
  t.match(outcomes, Array(NODES).fill(complete(stage)));
});

t.test('with every other part dead before the pull, the registry serves it', { skip }, async (t) => {
  await using stage = await stageWith('all-dead');
  const cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
  await Promise.all([cluster.supernodes[0]?.kill('SIGKILL'), cluster.tracker.kill('SIGKILL')]);
  t.match(await pullAll(stage, cluster), Array(2).fill(complete(stage)));
});

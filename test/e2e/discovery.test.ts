import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import type { PullRequest } from '../../bench/fixtures/pull.ts';
import { type PullOutcome, pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
/** Slow enough that a pull takes seconds, so that its middle can be hit. */
const REGISTRY_RATE = 16 * MIB;
const NODES = 4;
const IMAGE = { totalBytes: 48 * MIB, layers: 3 };
/** Of an image, by any one node, when the fault strikes. */
const MIDDLE = 0.3;
/** Registry bytes over image bytes: a machine that is busy may let a node step aside for a piece or two. */
const MOST_READ = 1.1;
const DEADLINE_MS = 120_000;

/** All daemons pull the image at once. */
async function pullAll(
  stage: Stage,
  cluster: Cluster,
  image: GeneratedImage = stage.image,
  strike?: () => Promise<unknown>,
): Promise<PullOutcome[]> {
  let struck: Promise<unknown> | undefined;
  const { repository } = stage;
  const requests = cluster.daemons.map(
    (daemon): PullRequest => ({ base: proxyUrl(daemon), repository, tag: image.tag }),
  );
  const outcomes = await pullTogether(requests, {
    signal: AbortSignal.timeout(DEADLINE_MS),
    workers: 2,
    onProgress: (_puller, bytes) => {
      if (bytes > image.bytes * MIDDLE) struck ??= strike?.();
    },
  });
  if (strike !== undefined && struck === undefined) throw new Error('no pull ever reached its middle');
  await struck;
  return outcomes;
}

const complete = (image: GeneratedImage): object => ({
  kind: 'done',
  result: { manifestDigest: image.manifest.digest, bytes: image.bytes },
});

/** A second image in the same repository. */
async function anotherImage(stage: Stage): Promise<GeneratedImage> {
  const image = await createImage({
    ...{ folder: await stage.makeFolder('second-image'), tag: 'v2', seed: 'second', ...IMAGE },
  });
  await pushImage(image, { registry: stage.registry.url, repository: stage.repository });
  return image;
}

/** What a daemon's metric says. */
async function metric(cluster: Cluster, index: number, name: string): Promise<number> {
  const admin = cluster.daemons[index]?.ready.admin ?? '';
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function reaches(value: () => Promise<number>, wanted: number, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while ((await value()) < wanted) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until all daemons have met so many members of the DHT. */
async function inDht(cluster: Cluster, members: number): Promise<void> {
  for (const index of cluster.daemons.keys()) {
    const value = (): Promise<number> => metric(cluster, index, 'damselfly_discovery_dht_members');
    await reaches(value, members, `node${index} finds into the DHT`);
  }
}

const killAll = (cluster: Cluster): Promise<unknown> =>
  Promise.all(cluster.trackers.map((tracker) => tracker.kill('SIGKILL')));

t.test('all trackers killed in the middle of a pull', { skip }, async (t) => {
  await using stage = await createStage('trackers-die', { registryRate: REGISTRY_RATE, image: IMAGE });
  const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1, trackers: 3 });
  const before = await stage.registry.counters();
  const outcomes = await pullAll(stage, cluster, stage.image, () => killAll(cluster));
  t.match(outcomes, Array(NODES).fill(complete(stage.image)));
  const ratio = countersSince(before, await stage.registry.counters()).bytes / stage.image.bytes;
  t.ok(ratio <= MOST_READ, `the registry sent ${ratio.toFixed(3)}x the image`);
});

t.test('one of three trackers killed in the middle, and replaced by nobody', { skip }, async (t) => {
  await using stage = await createStage('tracker-dies', { registryRate: REGISTRY_RATE, image: IMAGE });
  const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1, trackers: 3 });
  const before = await stage.registry.counters();
  const strike = (): Promise<unknown> => cluster.trackers[1]!.kill('SIGKILL');
  t.match(await pullAll(stage, cluster, stage.image, strike), Array(NODES).fill(complete(stage.image)));
  const second = await anotherImage(stage);
  t.match(await pullAll(stage, cluster, second), Array(NODES).fill(complete(second)), 'and the next pull');
  const bytes = stage.image.bytes + second.bytes;
  const ratio = countersSince(before, await stage.registry.counters()).bytes / bytes;
  t.ok(ratio <= MOST_READ, `the registry sent ${ratio.toFixed(3)}x the images`);
  t.equal(await metric(cluster, 0, 'damselfly_discovery_dht_joined'), 0, 'two trackers are enough');
});

t.test('all trackers dead before a pull, after a calm one', { skip }, async (t) => {
  await using stage = await createStage('trackers-dead', { registryRate: REGISTRY_RATE, image: IMAGE });
  const cluster = await stage.startCluster({
    ...{ nodes: NODES, supernodes: 1, trackers: 2 },
    // So that a node may set something for the others, who hear of it from member to member.
    secure: false,
  });
  const second = await anotherImage(stage);
  t.match(await pullAll(stage, cluster), Array(NODES).fill(complete(stage.image)), 'a calm pull');
  await killAll(cluster);
  await inDht(cluster, 1);
  const before = await stage.registry.counters();
  t.match(await pullAll(stage, cluster, second), Array(NODES).fill(complete(second)));
  const ratio = countersSince(before, await stage.registry.counters()).bytes / second.bytes;
  t.ok(ratio <= MOST_READ, `the registry sent ${ratio.toFixed(3)}x the image`);
  t.ok((await metric(cluster, 0, 'damselfly_discovery_answers_total{from="dht"}')) > 0, 'the DHT answered');
  const damselfly = join(import.meta.dirname, '../../bin/damselfly');
  const { code, stdout } = await run(damselfly, ['pause', '--socket', cluster.daemons[0]!.ready.socket]);
  t.match({ code, stdout }, { code: 0, stdout: /paused: all \(the whole cluster\)/ });
  for (const index of cluster.daemons.keys()) {
    await reaches(() => metric(cluster, index, 'damselfly_paused_upstreams'), 1, 'every node is paused');
  }
});

t.test('a daemon that starts without any tracker knows its peers from before', { skip }, async (t) => {
  await using stage = await createStage('remembered', { registryRate: REGISTRY_RATE, image: IMAGE });
  const cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
  const second = await anotherImage(stage);
  t.match(await pullAll(stage, cluster), Array(2).fill(complete(stage.image)), 'a calm pull');
  await cluster.tracker.kill('SIGKILL');
  await cluster.daemons[0]?.stop();
  await cluster.restartDaemon(0);
  const before = await stage.registry.counters();
  t.match(await pullAll(stage, cluster, second), Array(2).fill(complete(second)));
  const ratio = countersSince(before, await stage.registry.counters()).bytes / second.bytes;
  t.ok(ratio <= MOST_READ, `the registry sent ${ratio.toFixed(3)}x the image`);
});

t.test('a cluster without any tracker, whose nodes know one supernode', { skip }, async (t) => {
  await using stage = await createStage('dht-only', { registryRate: REGISTRY_RATE, image: IMAGE });
  const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1, dhtOnly: true });
  await inDht(cluster, 1);
  const before = await stage.registry.counters();
  t.match(await pullAll(stage, cluster), Array(NODES).fill(complete(stage.image)));
  const ratio = countersSince(before, await stage.registry.counters()).bytes / stage.image.bytes;
  t.ok(ratio <= MOST_READ, `the registry sent ${ratio.toFixed(3)}x the image`);
  const fromPeers = await metric(cluster, 0, 'damselfly_received_bytes_total{source="peer"}');
  t.ok(fromPeers > 0, 'nodes found each other');
});

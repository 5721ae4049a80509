import { join } from 'node:path';
import t from 'tap';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { borders } from '../helpers/borders.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { startRedis } from '../helpers/redis-server.ts';
import { S3_CREDENTIALS, startS3 } from '../helpers/s3-server.ts';
import { createStage, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry', 'redis-server'] });
const ZONES = ['eu/fra', 'us', 'ap/tyo'];
const NODES = 20;
const IMAGE_BYTES = 96 * MIB;
const LAYERS = 2;
const PULL_MS = 180_000;
const STEP_MS = 240_000;

t.setTimeout(900_000);

interface Scene {
  readonly stage: Stage;
  readonly cluster: Cluster;
}

async function push({ stage }: Scene, tag: string): Promise<GeneratedImage> {
  const folder = join(stage.folder, `image-${tag}`);
  const image = await createImage({ folder, tag, totalBytes: IMAGE_BYTES, layers: LAYERS, seed: tag });
  await pushImage(image, { registry: stage.registry.url, repository: stage.repository });
  return image;
}

/** All nodes but those of `without` pull the image. @returns how many got it; `strike` is called in the middle */
async function pullAll(
  { cluster, stage }: Scene,
  image: GeneratedImage,
  without: ReadonlySet<number> = new Set(),
  strike?: () => Promise<void>,
): Promise<{ readonly failed: readonly unknown[]; readonly registry: number }> {
  const before = await stage.registry.counters();
  let struck: Promise<void> | undefined;
  const targets = cluster.daemons.flatMap((daemon, index) =>
    without.has(index) ? [] : [{ base: proxyUrl(daemon), repository: stage.repository, tag: image.tag }],
  );
  const outcomes = await pullTogether(targets, {
    signal: AbortSignal.timeout(PULL_MS),
    workers: 2,
    onProgress: (_puller, bytes) => {
      if (bytes > image.bytes * 0.2) struck ??= strike?.();
    },
  });
  await struck;
  const failed = outcomes.filter(
    (outcome) => outcome.kind !== 'done' || outcome.result.bytes !== image.bytes,
  );
  const { bytes } = countersSince(before, await stage.registry.counters());
  return { failed, registry: bytes / image.bytes };
}

t.test(
  'three trackers on one Redis, three supernodes on one bucket, twenty nodes in three zones',
  { skip, timeout: 900_000 },
  async (t) => {
    Object.assign(process.env, S3_CREDENTIALS);
    await using stage = await createStage('sites', { image: { totalBytes: IMAGE_BYTES, layers: LAYERS } });
    const redis = await startRedis();
    stage.cleanup.defer(() => redis.close());
    const s3 = await startS3();
    stage.cleanup.defer(() => s3.close());
    const cluster = await stage.startCluster({
      ...{ nodes: NODES, supernodes: 3, trackers: 3, zones: ZONES },
      trackerFlags: ['--peer-store', redis.url],
      supernodeFlags: ['--blob-store', s3.url],
    });
    const scene: Scene = { stage, cluster };

    await t.test(
      'each byte is read once, and crosses the border of each zone once',
      { timeout: STEP_MS },
      async (t) => {
        const { failed, registry } = await pullAll(scene, stage.image);
        t.same(failed, []);
        t.ok(registry <= 1.001, `the registry sent ${registry.toFixed(4)}x`);
        for (const [zone, bytes] of await borders(cluster, ZONES)) {
          const crossed = bytes / stage.image.bytes;
          t.ok(crossed <= 1.1, `${crossed.toFixed(4)}x into ${zone}`);
        }
      },
    );

    const killed = new Set<number>();
    const strikes: Readonly<Record<string, () => Promise<unknown>>> = {
      node: async () => cluster.daemons[5]?.kill('SIGKILL'),
      Redis: async () => redis.kill(),
      tracker: async () => cluster.trackers[1]?.kill('SIGKILL'),
      supernode: async () => cluster.supernodes[2]?.kill('SIGKILL'),
    };
    for (const [what, strike] of Object.entries(strikes)) {
      await t.test(
        `killed in the middle of a pull, and then gone: ${what}`,
        { timeout: STEP_MS },
        async (t) => {
          const image = await push(scene, `kill-${what.toLowerCase()}`);
          if (what === 'node') killed.add(5);
          const { failed, registry } = await pullAll(scene, image, killed, async () => void (await strike()));
          t.same(failed, []);
          t.comment(`the registry sent ${registry.toFixed(3)}x`);
        },
      );
    }
  },
);

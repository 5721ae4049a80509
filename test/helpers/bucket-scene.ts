import type { Test } from 'tap';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import type { Stage } from './stage.ts';

const DEADLINE_MS = 120_000;

/** Clusters of one node and one supernode with a bucket, each on machines with empty disks, around one registry. */
export interface BucketScene {
  readonly start: (name: string) => Promise<Cluster>;
  /** What becomes of a pull of the image through the node. */
  readonly pull: (cluster: Cluster) => Promise<unknown>;
  /** What {@link pull} gives when the image came whole. */
  readonly whole: object;
  /** Of config and layers. */
  readonly blobs: number;
  readonly blobBytes: number;
}

export function bucketScene(stage: Stage, bucketUrl: string): BucketScene {
  const { image, repository } = stage;
  return {
    async start(name) {
      const folder = await stage.makeFolder(name);
      const supernodeFlags = ['--blob-store', bucketUrl];
      return await stage.startCluster({ folder, nodes: 1, supernodes: 1, supernodeFlags });
    },
    async pull(cluster) {
      // By digest, as containerd and dockerd ask once they know the tag: the supernode asks whether that may be read, once.
      const tag = image.manifest.digest;
      const targets = cluster.daemons.map((daemon) => ({ base: proxyUrl(daemon), repository, tag }));
      const [outcome] = await pullTogether(targets, { signal: AbortSignal.timeout(DEADLINE_MS), workers: 2 });
      return outcome;
    },
    whole: { kind: 'done', result: { manifestDigest: image.manifest.digest, bytes: image.bytes } },
    blobs: image.layers.length + 1,
    blobBytes: image.bytes - image.manifest.size,
  };
}

/** A supernode reads an image into the bucket; another one, with an empty disk, serves it without the registry's blobs. */
export async function serveFromBucket(t: Test, stage: Stage, scene: BucketScene): Promise<void> {
  const first = await scene.start('first');
  t.match(await scene.pull(first), scene.whole);
  const kept = (): Promise<number> => supernodeMetric(first, 'object_store_total{kind="keep",outcome="ok"}');
  await until(async () => (await kept()) === scene.blobs, 'all blobs are in the bucket');
  await first.stop();

  const second = await scene.start('second');
  const before = await stage.registry.counters();
  t.match(await scene.pull(second), scene.whole);
  const { blobRequests, bytes } = countersSince(before, await stage.registry.counters());
  t.equal(blobRequests, 0, 'the registry was asked for no blob');
  t.ok(bytes < 64 * 1024, `the registry sent ${bytes} bytes`);
  t.equal(await supernodeMetric(second, 'received_bytes_total{source="object-store"}'), scene.blobBytes);
  t.equal(await supernodeMetric(second, 'received_bytes_total{source="origin"}'), 0);
  await second.stop();
}

/** The number of one of the supernode's metrics. */
export async function supernodeMetric(cluster: Cluster, line: string): Promise<number> {
  const response = await fetch(`http://${cluster.supernodes[0]?.ready.admin ?? ''}/metrics`);
  const escaped = line.replace(/[{}"]/g, '\\$&');
  return Number(new RegExp(`^damselfly_${escaped} (\\d+)$`, 'm').exec(await response.text())?.[1] ?? 0);
}

export async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  while (!(await condition())) {
    if (deadline.aborted) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

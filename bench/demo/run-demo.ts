import { join } from 'node:path';
import { formatBytes } from '../../lib/config/units.ts';
import { proxyUrl, startCluster } from '../fixtures/cluster.ts';
import { createImage } from '../fixtures/image.ts';
import { sumMetric } from '../fixtures/metrics.ts';
import { pullTogether } from '../fixtures/pull-fleet.ts';
import { createPullView } from '../fixtures/pull-view.ts';
import type { RegistryCounters } from '../fixtures/registry-counters.ts';
import { startEmbeddedRegistry } from '../fixtures/start-embedded-registry.ts';
import { round } from '../fixtures/table.ts';
import { tempFolder } from '../fixtures/temp-folder.ts';

export interface DemoOptions {
  readonly imageBytes: number;
  readonly layers: number;
  readonly nodes: number;
  readonly supernodes: number;
  readonly signal: AbortSignal;
}

interface DemoNode {
  readonly node: number;
  /** Whether every digest was the one that the image was made with. */
  readonly verified: boolean;
  /** Why the pull failed. */
  readonly failure?: string;
  readonly seconds?: number;
  readonly firstByteSeconds?: number;
}

export interface DemoReport {
  readonly imageBytes: number;
  readonly manifestDigest: string;
  /** Counted by the registry. */
  readonly registryBytes: number;
  readonly registryRatio: number;
  readonly registryRequests: number;
  /** Blob bytes that nodes had from each other, and from supernodes. */
  readonly peerBytes: number;
  readonly supernodeBytes: number;
  readonly nodes: readonly DemoNode[];
}

/** Manifests are read by every node for itself: a thousandth of an image, not a hundredth. */
const MAX_REGISTRY_RATIO = 1.01;
const REPOSITORY = 'demo/app';
const UPSTREAM = 'registry.demo';
/** The same on every run, so that two runs can be compared. */
const SEED = 'damselfly demo';

export function isGood(report: DemoReport): boolean {
  return report.nodes.every(({ verified }) => verified) && report.registryRatio <= MAX_REGISTRY_RATIO;
}

/** Starts everything, pulls through every node at once, and puts everything away again, whatever happens. */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const { nodes, supernodes, layers, signal } = options;
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('demo')).path;

  say(`An image of ${formatBytes(options.imageBytes)} in ${layers} layers ...`);
  const layout = join(folder, 'image');
  const image = await createImage({
    folder: layout,
    tag: 'v1',
    totalBytes: options.imageBytes,
    layers,
    seed: SEED,
  });
  const registry = await startEmbeddedRegistry({ folder, layout, signal });
  cleanup.defer(() => registry.stop());

  say(`A registry, a tracker, ${supernodes} supernodes and ${nodes} nodes, each its own process ...`);
  const upstreams = { [UPSTREAM]: registry.url };
  const cluster = await startCluster({
    folder,
    nodes,
    supernodes,
    upstreams,
    defaultUpstream: UPSTREAM,
    signal,
  });
  cleanup.defer(() => cluster.stop());

  say('All nodes pull at the same time:');
  const view = createPullView('node', nodes, image.bytes);
  cleanup.defer(() => view.stop());
  const pulls = cluster.daemons.map((daemon) => ({
    base: proxyUrl(daemon),
    repository: REPOSITORY,
    tag: 'v1',
  }));
  const outcomes = await pullTogether(pulls, { signal, onProgress: view.onProgress, onDone: view.onDone });
  view.stop();
  signal.throwIfAborted();

  const response = await fetch(`${registry.url}/-/counters`);
  const counters = (await response.json()) as RegistryCounters;
  const admins = cluster.daemons.filter(({ running }) => running).map(({ ready }) => ready.admin);
  const expected = JSON.stringify([image.config, ...image.layers].map(({ digest }) => digest));
  return {
    imageBytes: image.bytes,
    manifestDigest: image.manifest.digest,
    registryBytes: counters.bytes,
    registryRatio: round(counters.bytes / image.bytes),
    registryRequests: counters.requests,
    peerBytes: await sumMetric(admins, 'damselfly_received_bytes_total', { source: 'peer' }),
    supernodeBytes: await sumMetric(admins, 'damselfly_received_bytes_total', { source: 'supernode' }),
    nodes: outcomes.map((outcome, index): DemoNode => {
      if (outcome.kind === 'failed') return { node: index + 1, verified: false, failure: outcome.reason };
      const { manifestDigest, blobDigests, seconds, firstByteSeconds } = outcome.result;
      return {
        node: index + 1,
        verified: manifestDigest === image.manifest.digest && JSON.stringify(blobDigests) === expected,
        seconds: round(seconds),
        firstByteSeconds: round(firstByteSeconds),
      };
    }),
  };
}

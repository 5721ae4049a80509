import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jsonReady, startChild } from '../fixtures/child.ts';
import { type Cluster, proxyUrl, startCluster } from '../fixtures/cluster.ts';
import { startDockerRegistry } from '../fixtures/docker-registry.ts';
import { createImage, type GeneratedImage } from '../fixtures/image.ts';
import { sumMetric } from '../fixtures/metrics.ts';
import { createNetwork } from '../fixtures/network.ts';
import type { PullRequest } from '../fixtures/pull.ts';
import { type PullOutcome, pullTogether } from '../fixtures/pull-fleet.ts';
import { createPullView } from '../fixtures/pull-view.ts';
import { pushImage } from '../fixtures/push-image.ts';
import { countersSince } from '../fixtures/registry-counters.ts';
import { quantile, round } from '../fixtures/table.ts';
import { tempFolder } from '../fixtures/temp-folder.ts';
import { usageOf } from '../fixtures/usage.ts';
import { type CpuCosts, countCpu, totalOf } from './cpu-costs.ts';

export interface LiveOptions {
  readonly nodes: number;
  readonly supernodes: number;
  readonly imageBytes: number;
  readonly layers: number;
  /** Pulled one after the other by the same processes; all but the CPU of the later ones is of the first. */
  readonly images: number;
  /** Bytes per second that all responses of the registry share; Infinity = no cap. */
  readonly registryRate: number;
  /** Bytes per second of each node's link, each direction; Infinity = no cap, and no namespaces. */
  readonly nodeRate: number;
  /** Whether to measure as many direct pulls afterwards. */
  readonly direct: boolean;
  readonly keep: boolean;
  readonly signal: AbortSignal;
}

/** What `bench:live --json` prints; null = not capped, not measured. */
export interface LiveReport {
  readonly nodes: number;
  readonly supernodes: number;
  readonly imageBytes: number;
  readonly layers: number;
  readonly registryRateBytesPerSecond: number | null;
  readonly nodeRateBytesPerSecond: number | null;
  /** Counted in the registry's own access log. */
  readonly originBytes: number;
  readonly originRatio: number;
  readonly originRequests: number;
  /** Nodes that received the whole image with every digest right. */
  readonly complete: number;
  readonly failures: readonly string[];
  readonly seconds: { readonly p50: number; readonly p99: number; readonly max: number };
  /** No way of distribution can be faster under these caps. */
  readonly idealSeconds: number | null;
  /** From the start of a pull to the first byte of any layer. */
  readonly firstByteSeconds: { readonly p50: number; readonly max: number };
  /** Until the last of as many direct pulls was done. */
  readonly directSeconds: number | null;
  readonly ratioToDirect: number | null;
  /** Blob bytes that the nodes received, by source. */
  readonly receivedBytes: { readonly origin: number; readonly supernode: number; readonly peer: number };
  /** All our processes, per 10^9 bytes delivered to clients. */
  readonly cpuSecondsPerGB: number;
  /** The same by process and thread. */
  readonly cpu: CpuCosts;
  /** Of the images after the first: by then more of the code is compiled. */
  readonly laterCpuSecondsPerGB: readonly number[];
  /** Of the largest of our processes. */
  readonly peakRssBytes: number;
}

const REPOSITORY = 'bench/app';
const UPSTREAM = 'registry.bench';
const LOOPBACK = '127.0.0.1';

export async function runLive(options: LiveOptions): Promise<LiveReport> {
  const { nodes, supernodes, layers, signal } = options;
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  await using cleanup = new AsyncDisposableStack();
  const folder = options.keep
    ? await mkdtemp(join(tmpdir(), 'damselfly-live-'))
    : cleanup.use(await tempFolder('live')).path;
  if (options.keep) say(`Data and logs stay in ${folder}`);

  const layout = join(folder, 'image');
  const create = (index: number): Promise<GeneratedImage> =>
    createImage({
      folder: `${layout}${index}`,
      tag: `v${index + 1}`,
      totalBytes: options.imageBytes,
      layers,
      seed: index === 0 ? 'live' : `live ${index}`,
    });
  const image = await create(0);
  const registry = await startDockerRegistry({ folder: join(folder, 'registry'), signal });
  cleanup.defer(() => registry.stop());
  await pushImage(image, { registry: registry.url, repository: REPOSITORY });

  const network = Number.isFinite(options.nodeRate)
    ? await createNetwork({ nodes, bytesPerSecond: options.nodeRate })
    : undefined;
  if (network !== undefined) cleanup.defer(() => network.remove());
  const shaper = await startChild<{ listen: string }>({
    command: process.execPath,
    args: [
      ...[join(import.meta.dirname, '..', 'fixtures', 'shaper-main.ts'), '--target', registry.address],
      ...['--listen', `${network?.host ?? LOOPBACK}:0`],
      ...(Number.isFinite(options.registryRate) ? ['--rate', String(Math.round(options.registryRate))] : []),
    ],
    logFile: join(folder, 'shaper.log'),
    ready: jsonReady('shaper'),
    signal,
  });
  cleanup.defer(() => shaper.stop());
  const capped = `http://${shaper.ready.listen}`;

  say(`${nodes} nodes and ${supernodes} supernodes start ...`);
  const cluster = await startCluster({
    ...{ folder, nodes, supernodes, signal },
    ...{ upstreams: { [UPSTREAM]: capped }, defaultUpstream: UPSTREAM },
    ...(network === undefined ? {} : { network }),
  });
  cleanup.defer(() => cluster.stop());
  const pids = cluster.members.map(({ ready }) => ready.pid);

  const pull = async (label: string, bases: readonly string[], tag = 'v1'): Promise<PullOutcome[]> => {
    const requests = bases.map((base): PullRequest => ({ base, repository: REPOSITORY, tag }));
    const view = createPullView(label, requests.length, image.bytes);
    try {
      return await pullTogether(requests, { signal, onProgress: view.onProgress, onDone: view.onDone });
    } finally {
      view.stop();
      signal.throwIfAborted();
    }
  };
  const countersBefore = await registry.counters();
  const cpuSince = await countCpu(cluster);
  const outcomes = await pull('node', cluster.daemons.map(proxyUrl));
  const cpu = await cpuSince(nodes * image.bytes);
  const counters = countersSince(countersBefore, await registry.counters());
  const receivedBytes = await receivedBySource(cluster);
  const laterCpuSecondsPerGB: number[] = [];
  for (let index = 1; index < options.images; index++) {
    const later = await create(index);
    await pushImage(later, { registry: registry.url, repository: REPOSITORY });
    const laterCpuSince = await countCpu(cluster);
    makespan(await pull(`image ${index + 1}`, cluster.daemons.map(proxyUrl), `v${index + 1}`));
    laterCpuSecondsPerGB.push(totalOf(await laterCpuSince(nodes * later.bytes)));
  }
  const { peakRssBytes } = await usageOf(pids);
  await cluster.stop();

  const done = outcomes.flatMap((outcome) => (outcome.kind === 'done' ? [outcome.result] : []));
  const seconds = done.map((result) => result.seconds);
  const firstBytes = done.map((result) => result.firstByteSeconds);
  const max = round(Math.max(0, ...seconds));
  const directSeconds = options.direct
    ? makespan(await pull('direct', Array<string>(nodes).fill(capped)))
    : null;
  const slowest = Math.min(options.registryRate, options.nodeRate);
  return {
    nodes,
    supernodes,
    imageBytes: image.bytes,
    layers,
    registryRateBytesPerSecond: finite(options.registryRate),
    nodeRateBytesPerSecond: finite(options.nodeRate),
    originBytes: counters.bytes,
    originRatio: round(counters.bytes / image.bytes),
    originRequests: counters.requests,
    complete: done.filter(({ manifestDigest }) => manifestDigest === image.manifest.digest).length,
    failures: outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? [outcome.reason] : [])),
    seconds: { p50: round(quantile(seconds, 0.5)), p99: round(quantile(seconds, 0.99)), max },
    idealSeconds: Number.isFinite(slowest) ? round(image.bytes / slowest) : null,
    firstByteSeconds: { p50: round(quantile(firstBytes, 0.5)), max: round(Math.max(0, ...firstBytes)) },
    directSeconds,
    ratioToDirect: directSeconds === null ? null : round(max / directSeconds),
    receivedBytes,
    cpuSecondsPerGB: totalOf(cpu),
    cpu,
    laterCpuSecondsPerGB,
    peakRssBytes,
  };
}

async function receivedBySource(cluster: Cluster): Promise<LiveReport['receivedBytes']> {
  const admins = cluster.daemons.filter(({ running }) => running).map(({ ready }) => ready.admin);
  const of = (source: string): Promise<number> =>
    sumMetric(admins, 'damselfly_received_bytes_total', { source });
  return { origin: await of('origin'), supernode: await of('supernode'), peer: await of('peer') };
}

/** @throws Error when a pull failed: a baseline with holes would flatter us */
function makespan(outcomes: readonly PullOutcome[]): number {
  return round(
    Math.max(
      ...outcomes.map((outcome) => {
        if (outcome.kind === 'failed') throw new Error(`a pull failed: ${outcome.reason}`);
        return outcome.result.seconds;
      }),
    ),
  );
}

function finite(rate: number): number | null {
  return Number.isFinite(rate) ? rate : null;
}

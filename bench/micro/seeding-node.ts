import { join } from 'node:path';
import { type Child, jsonReady, startChild } from '../fixtures/child.ts';
import { proxyUrl, startCluster } from '../fixtures/cluster.ts';
import { httpGet } from '../fixtures/http-get.ts';
import { createImage, type Descriptor } from '../fixtures/image.ts';
import { sumMetric } from '../fixtures/metrics.ts';
import { startEmbeddedRegistry } from '../fixtures/start-embedded-registry.ts';

const REPOSITORY = 'demo/app';
const UPSTREAM = 'registry.bench';

/** A node daemon with one blob, alone with its tracker and a registry; and peers that ask it for all it can give. */
export interface SeedingNode {
  readonly pid: number;
  readonly blob: Descriptor;
  /** A client of the node reads the whole blob. */
  read(): Promise<void>;
  /** Starts peers that never have enough; resolves when the first of them has got something. */
  startPeers(count: number): Promise<Child<{ readonly pid: number }>>;
  /** Bytes sent to peers so far. */
  sentBytes(): Promise<number>;
}

/** @param folder fresh; what is started is stopped by `cleanup` */
export async function startSeedingNode(
  folder: string,
  cleanup: AsyncDisposableStack,
  options: {
    readonly blobBytes: number;
    readonly daemonFlags: readonly string[];
    readonly signal: AbortSignal;
  },
): Promise<SeedingNode> {
  const { blobBytes, daemonFlags, signal } = options;
  const layout = join(folder, 'image');
  const image = await createImage({
    folder: layout,
    tag: 'v1',
    totalBytes: blobBytes,
    layers: 1,
    seed: 'seed',
  });
  const registry = await startEmbeddedRegistry({ folder, layout, signal });
  cleanup.defer(() => registry.stop());
  const cluster = await startCluster({
    secure: false,
    ...{ folder, nodes: 1, supernodes: 0, signal, daemonFlags },
    ...{ upstreams: { [UPSTREAM]: registry.url }, defaultUpstream: UPSTREAM },
  });
  cleanup.defer(() => cluster.stop());
  const [daemon] = cluster.daemons;
  const [blob] = image.layers;
  if (daemon === undefined || blob === undefined) throw new Error('no daemon, or no layer');
  const read = (): Promise<void> => {
    const url = `${proxyUrl(daemon)}/v2/${REPOSITORY}/blobs/${blob.digest}`;
    return httpGet(url, {}, signal, () => {});
  };
  await read();
  let started = 0;
  return {
    pid: daemon.ready.pid,
    blob,
    read,
    startPeers: (count) =>
      startChild<{ pid: number }>({
        command: process.execPath,
        args: [
          ...[join(import.meta.dirname, 'neighbour-peers-main.ts'), '--node', daemon.ready.peer],
          ...['--digest', blob.digest, '--size', String(blob.size), '--peers', String(count)],
        ],
        logFile: join(folder, `peers${started++}.log`),
        ready: jsonReady('peers'),
        signal,
      }),
    sentBytes: () => sumMetric([daemon.ready.admin], 'damselfly_sent_bytes_total', { to: 'peer' }),
  };
}

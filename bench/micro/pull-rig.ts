import { join } from 'node:path';
import { type Cluster, proxyUrl, startCluster } from '../fixtures/cluster.ts';
import { type DockerRegistry, startDockerRegistry } from '../fixtures/docker-registry.ts';
import { createImage, type Descriptor } from '../fixtures/image.ts';
import { createNetwork } from '../fixtures/network.ts';
import { pushImage } from '../fixtures/push-image.ts';
import { tempFolder } from '../fixtures/temp-folder.ts';

export interface PullRigOptions {
  readonly nodes: number;
  /** Layers of one image in the registry, all of the same size. */
  readonly blobs: number;
  readonly blobBytes: number;
  /** Egress of the registry, in a network namespace of its own; not shaped when absent. */
  readonly registryBytesPerSecond?: number;
  readonly signal: AbortSignal;
}

/** A docker-registry with an image, a tracker, a supernode and nodes: real processes. */
export interface PullRig extends AsyncDisposable {
  readonly folder: string;
  readonly registry: DockerRegistry;
  /** The same images without the shaping. */
  readonly unshaped: DockerRegistry;
  readonly cluster: Cluster;
  /** The image's layers. */
  readonly blobs: readonly Descriptor[];
  /** Where a node gives the blob. */
  atNode(node: number, blob: Descriptor): string;
  /** Where a registry gives it. */
  atRegistry(registry: DockerRegistry, blob: Descriptor): string;
}

const REPOSITORY = 'bench/app';
const UPSTREAM = 'registry.bench';

export async function createPullRig(options: PullRigOptions): Promise<PullRig> {
  const { blobBytes, blobs, nodes, registryBytesPerSecond, signal } = options;
  await using made = new AsyncDisposableStack();
  const folder = made.use(await tempFolder('pull')).path;
  const unshaped = await startDockerRegistry({ folder: join(folder, 'registry'), signal });
  made.defer(() => unshaped.stop());
  const layout = made.use(await tempFolder('image'));
  const image = await createImage({
    ...{ folder: layout.path, tag: 'v1', seed: 'pull' },
    ...{ totalBytes: blobs * blobBytes, layers: blobs },
  });
  await pushImage(image, { registry: unshaped.url, repository: REPOSITORY });
  let registry = unshaped;
  if (registryBytesPerSecond !== undefined) {
    const network = await createNetwork({ nodes: 1, bytesPerSecond: registryBytesPerSecond });
    made.defer(() => network.remove());
    const { namespace = '', peerHost = '' } = network.nodes[0] ?? {};
    registry = await startDockerRegistry({
      ...{ folder: join(folder, 'shaped'), data: join(folder, 'registry', 'data') },
      ...{ namespace, listen: `${peerHost}:0`, signal },
    });
    const shaped = registry;
    made.defer(() => shaped.stop());
  }
  const cluster = await startCluster({
    secure: false,
    ...{ folder, nodes, supernodes: 1, signal },
    ...{ upstreams: { [UPSTREAM]: registry.url }, defaultUpstream: UPSTREAM },
  });
  made.defer(() => cluster.stop());
  const cleanup = made.move();
  const at = (base: string, blob: Descriptor): string => `${base}/v2/${REPOSITORY}/blobs/${blob.digest}`;
  return {
    ...{ folder, registry, unshaped, cluster, blobs: image.layers },
    atNode(node, blob) {
      const daemon = cluster.daemons[node];
      if (daemon === undefined) throw new Error(`no node ${node}`);
      return at(proxyUrl(daemon), blob);
    },
    atRegistry: (from, blob) => at(from.url, blob),
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
}

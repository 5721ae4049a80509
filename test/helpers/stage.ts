import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Child, jsonReady, startChild } from '../../bench/fixtures/child.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../../bench/fixtures/cluster.ts';
import { type DockerRegistry, startDockerRegistry } from '../../bench/fixtures/docker-registry.ts';
import { createImage, type GeneratedImage, type ImageOptions } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';

/** The name under which tests configure their registry. */
export const NAMESPACE = 'registry.test';
const MIB = 1024 * 1024;

export interface StageOptions {
  readonly image?: Partial<ImageOptions>;
  readonly repository?: string;
  /** htpasswd file for the registry, and what to push with. */
  readonly htpasswd?: string;
  readonly authorization?: string;
  /** Cap on the registry's egress in bytes per second. */
  readonly registryRate?: number;
}

/** A real registry that holds one image, and what a test starts around it; all of it goes away at the end. */
export interface Stage extends AsyncDisposable {
  readonly folder: string;
  readonly registry: DockerRegistry;
  readonly image: GeneratedImage;
  readonly repository: string;
  /** `host:port` by which clusters reach the registry: the relay that caps it, if there is one. */
  readonly upstream: string;
  startCluster(
    options: Pick<ClusterOptions, 'nodes' | 'supernodes'> & Partial<ClusterOptions>,
  ): Promise<Cluster>;
  /** A new empty folder. */
  makeFolder(name: string): Promise<string>;
  readonly cleanup: AsyncDisposableStack;
}

export async function createStage(name: string, options: StageOptions = {}): Promise<Stage> {
  const cleanup = new AsyncDisposableStack();
  try {
    const folder = cleanup.use(await tempFolder(name)).path;
    const image = await createImage({
      ...{ folder: join(folder, 'image'), tag: 'v1', totalBytes: 40 * MIB, layers: 4, seed: name },
      ...options.image,
    });
    const { htpasswd, authorization, registryRate, repository = 'team/app' } = options;
    const registry = await startDockerRegistry({
      folder: join(folder, 'registry'),
      ...(htpasswd === undefined ? {} : { htpasswd }),
    });
    cleanup.defer(() => registry.stop());
    const credentials = authorization === undefined ? {} : { authorization };
    await pushImage(image, { registry: registry.url, repository, ...credentials });
    let upstream = registry.address;
    if (registryRate !== undefined) {
      const shaper = await startShaper(folder, registry.address, registryRate);
      cleanup.defer(() => shaper.stop());
      upstream = shaper.ready.listen;
    }
    const stage: Stage = {
      ...{ folder, registry, image, repository, upstream, cleanup },
      async startCluster(clusterOptions) {
        const cluster = await startCluster({
          ...{ folder, upstreams: { [NAMESPACE]: `http://${upstream}` }, defaultUpstream: NAMESPACE },
          ...clusterOptions,
        });
        cleanup.defer(() => cluster.stop());
        return cluster;
      },
      async makeFolder(inside) {
        const path = join(folder, inside);
        await mkdir(path);
        return path;
      },
      [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
    };
    return stage;
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }
}

function startShaper(folder: string, target: string, rate: number): Promise<Child<{ listen: string }>> {
  const main = join(import.meta.dirname, '..', '..', 'bench', 'fixtures', 'shaper-main.ts');
  return startChild({
    command: process.execPath,
    args: [main, '--target', target, '--rate', String(rate)],
    logFile: join(folder, 'shaper.log'),
    ready: jsonReady('shaper'),
  });
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, startCluster } from '../../bench/fixtures/cluster.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { createShaper } from '../../bench/fixtures/shaper.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { makeCertificate } from './certificate.ts';
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts';
import { type Relay, startRelay } from './relay.ts';
import { NAMESPACE } from './stage.ts';
import { startTokenServer, type TokenServer } from './token-server.ts';

/** The one private repository that alice and the node may read, and mallory may not. */
export const PRIVATE = 'team/app';

/** A real registry that takes signed tokens, the service that signs them, and a cluster with an account of its own. */
export interface PrivateStage extends AsyncDisposable {
  readonly folder: string;
  readonly tokens: TokenServer;
  readonly registry: DockerRegistry;
  /** May push to {@link PRIVATE}. */
  readonly authorization: string;
  /** What the registry is asked by the whole cluster. */
  readonly relay: Relay;
  readonly cluster: Cluster;
}

export async function startPrivateStage(options: {
  readonly trust: 'caller' | 'node';
  /** Cap on what the registry sends to the cluster, bytes per second. */
  readonly registryRate: number;
  /** Nobody needs an account to pull, and the cluster has none: the token service gives anybody a token. */
  readonly everybodyPulls?: boolean;
}): Promise<PrivateStage> {
  const { everybodyPulls = false, registryRate, trust } = options;
  const cleanup = new AsyncDisposableStack();
  try {
    const folder = cleanup.use(await tempFolder('private')).path;
    const certificate = makeCertificate(folder);
    const tokens = await startTokenServer(certificate, {
      pusher: { password: 'push-secret', rights: { '*': ['pull', 'push'] } },
      node: { password: 'node-secret', rights: { [PRIVATE]: ['pull'] } },
      alice: { password: 'alice-secret', rights: { [PRIVATE]: ['pull'] } },
      mallory: { password: 'mallory-secret', rights: {} },
      ...(everybodyPulls ? { '': { password: '', rights: { [PRIVATE]: ['pull'] } } } : {}),
    });
    cleanup.defer(() => tokens.close());
    const authorization = `Bearer ${tokens.issue('pusher', `repository:${PRIVATE}:pull,push`)}`;
    const registry = await startDockerRegistry({
      tokens: { realm: tokens.realm, certificate, authorization },
    });
    cleanup.defer(() => registry.close());
    const relay = await startRelay(registry.url);
    cleanup.defer(() => relay.close());
    const shaper = await createShaper({
      listen: { host: '127.0.0.1', port: 0 },
      target: { host: '127.0.0.1', port: Number(new URL(relay.url).port) },
      bytesPerSecond: registryRate,
    });
    cleanup.defer(() => shaper.close());
    const config = join(folder, 'config.yaml');
    const account = everybodyPulls ? { trust } : { username: 'node', password: 'node-secret', trust };
    const upstream = { name: NAMESPACE, url: `http://${shaper.address}`, ...account };
    await writeFile(config, JSON.stringify({ upstream: [upstream] }));
    const cluster = await startCluster({
      ...{ folder, nodes: 2, supernodes: 1, upstreams: {}, logLevel: 'debug' },
      ...{ daemonFlags: ['--config', config], supernodeFlags: ['--config', config] },
    });
    cleanup.defer(() => cluster.stop());
    return {
      ...{ folder, tokens, registry, authorization, relay, cluster },
      [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
    };
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }
}

/** Puts an image of one layer into {@link PRIVATE}. */
export async function pushPrivate(
  stage: PrivateStage,
  options: { readonly tag: string; readonly totalBytes: number },
): Promise<GeneratedImage> {
  const folder = join(stage.folder, `image-${options.tag}`);
  const image = await createImage({ ...options, folder, layers: 1, seed: options.tag });
  const { authorization, registry } = stage;
  await pushImage(image, { registry: registry.url, repository: PRIVATE, authorization });
  return image;
}

/** Bytes of bodies of the image's layers that the registry has sent to the cluster. */
export function layerBytes({ relay }: PrivateStage, { layers }: GeneratedImage): number {
  return relay.seen
    .filter(({ method, url }) => method === 'GET' && layers.some(({ digest }) => url.endsWith(digest)))
    .reduce((sum, { sentBytes }) => sum + sentBytes, 0);
}

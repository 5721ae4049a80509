import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Child, jsonReady, startChild } from '../../bench/fixtures/child.ts';
import { type DockerRegistry, startDockerRegistry } from '../../bench/fixtures/docker-registry.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { makeAuthority } from '../../bench/fixtures/join-authority.ts';
import { createNetwork, type NetworkNode } from '../../bench/fixtures/network.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { Machine, type Role } from '../chaos/machine.ts';
import { type RedisServer, startRedis } from './redis-server.ts';
import { S3_CREDENTIALS } from './s3-server.ts';
import { type SiteBorder, watchBorder } from './site-border.ts';
import { startAll } from './start-all.ts';

/** A zone with a tracker, a supernode, nodes and a replica of the registry, each a machine of its own. */
export interface Site {
  readonly zone: string;
  readonly tracker: Machine;
  readonly supernode: Machine;
  readonly nodes: readonly Machine[];
  readonly border: SiteBorder;
}

/** Sites that share one Redis and one bucket, which are in none of them. Identities and mutual TLS everywhere. */
export interface Sites extends AsyncDisposable {
  readonly sites: readonly Site[];
  readonly machines: readonly Machine[];
  readonly redis: RedisServer;
  readonly s3: { kill(): Promise<void>; start(): Promise<void> };
  /** A new image in the registry, which all replicas have. */
  push(this: void, tag: string): Promise<GeneratedImage>;
  /** Bytes of the image's blobs that all replicas have sent so far. */
  registryBytes(this: void, image: GeneratedImage): Promise<number>;
}

export interface SitesOptions {
  readonly zones: readonly string[];
  /** In turn one for each zone. */
  readonly nodes: number;
  readonly imageBytes: number;
  readonly layers: number;
  /** Of each node's link. */
  readonly bytesPerSecond: number;
  /** Of the links of all other machines: those that serve many have more. */
  readonly serverBytesPerSecond: number;
}

export const REPOSITORY = 'team/app';
const UPSTREAM = 'registry.test';
const REGISTRY_PORT = 5000;
const S3_PORT = 9000;

/** @throws Error when a part does not come up; what was there until then is gone */
export async function startSites(options: SitesOptions): Promise<Sites> {
  const { bytesPerSecond, imageBytes, layers, serverBytesPerSecond, zones } = options;
  const stack = new AsyncDisposableStack();
  try {
    const folder = stack.use(await tempFolder('sites')).path;
    const perZone = zones.map((_, at) => Math.ceil((options.nodes - at) / zones.length));
    const count = zones.length * 3 + options.nodes + 1;
    const network = await createNetwork({ nodes: count, bytesPerSecond });
    stack.defer(() => network.remove());
    const free = network.nodes.map((place, link) => ({ place, link }));
    const next = (): { place: NetworkNode; link: number } => {
      const one = free.shift();
      if (one === undefined) throw new Error('the network is too small');
      return one;
    };

    const { place: core } = next();
    const redis = await startRedis({ place: { namespace: core.namespace, host: core.peerHost } });
    stack.defer(() => redis.close());
    Object.assign(process.env, S3_CREDENTIALS);
    let bucket = await startBucket(core, folder);
    stack.defer(() => bucket.stop());

    const replicas = zones.map((zone) => ({ zone, ...next() }));
    const data = join(folder, 'registry-data');
    const registries: DockerRegistry[] = [];
    for (const [at, { place }] of replicas.entries()) {
      const registry = await startDockerRegistry({
        ...{ folder: join(folder, `registry${at}`), data, namespace: place.namespace },
        listen: `${place.peerHost}:${REGISTRY_PORT}`,
      });
      stack.defer(() => registry.stop());
      registries.push(registry);
    }
    const url = replicas.map(({ place, zone }) => ({
      ...{ url: `http://${place.peerHost}:${REGISTRY_PORT}`, zone },
    }));
    const config = join(folder, 'config.yaml');
    // JSON is YAML.
    await writeFile(config, JSON.stringify({ upstream: [{ name: UPSTREAM, url }] }));

    const authority = await makeAuthority(join(folder, 'ca'));
    const trackerHosts: string[] = [];
    const { signal } = new AbortController();
    const make = (role: Role, name: string, flags: readonly string[]): Machine =>
      new Machine({
        ...{ ...next(), name, role, folder, config, authority, flags, signal },
        trackers: trackerHosts,
      });
    const machines = zones.map((zone, at) => ({
      zone,
      tracker: make('tracker', `tracker${at}`, ['--peer-store', redis.url]),
      supernode: make('supernode', `supernode${at}`, ['--zone', zone, '--blob-store', bucket.ready.url]),
      nodes: Array.from({ length: perZone[at] ?? 0 }, (_, index) =>
        make('daemon', `node${at}-${index}`, ['--zone', zone, '--default-upstream', UPSTREAM]),
      ),
    }));
    trackerHosts.push(...machines.map(({ tracker }) => tracker.spec.place.peerHost));
    const all = machines.flatMap((each) => [each.tracker, each.supernode, ...each.nodes]);
    const nodeLinks = new Set(machines.flatMap(({ nodes }) => nodes.map(({ spec }) => spec.link)));
    for (const link of network.nodes.keys()) {
      if (!nodeLinks.has(link)) await network.setRate(link, serverBytesPerSecond);
    }
    stack.defer(async () => void (await Promise.all(all.map((each) => each.stop()))));
    await startAll(machines.map(({ tracker }) => tracker));
    await startAll(machines.map(({ supernode }) => supernode));
    await startAll(machines.flatMap(({ nodes }) => nodes));

    const placesOf = (at: number): NetworkNode[] => {
      const { nodes, supernode, tracker } = machines[at]!;
      return [tracker, supernode, ...nodes].map(({ spec }) => spec.place);
    };
    const sites: Site[] = [];
    for (const [at, site] of machines.entries()) {
      const others = machines.flatMap((_, other) => (other === at ? [] : placesOf(other)));
      const far = replicas.filter((_, other) => other !== at).map(({ place }) => place);
      sites.push({ ...site, border: await watchBorder(placesOf(at), others, [...others, ...far, core]) });
    }
    return {
      ...{ sites, redis, machines: all },
      s3: {
        kill: () => bucket.kill('SIGKILL'),
        start: async () => void (bucket = await startBucket(core, folder)),
      },
      async push(tag) {
        const image = await createImage({
          ...{ folder: join(folder, `image-${tag}`), tag, totalBytes: imageBytes, layers, seed: tag },
        });
        await pushImage(image, { registry: registries[0]!.url, repository: REPOSITORY });
        return image;
      },
      async registryBytes({ layers }) {
        const each = registries.map((registry) =>
          registry.counters((uri) => layers.some(({ digest }) => uri.endsWith(digest))),
        );
        return (await Promise.all(each)).reduce((sum, { bytes }) => sum + bytes, 0);
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** An empty one. */
function startBucket({ namespace, peerHost }: NetworkNode, folder: string): Promise<Child<{ url: string }>> {
  const main = join(import.meta.dirname, 's3-server-main.ts');
  return startChild({
    command: 'ip',
    args: ['netns', 'exec', namespace, process.execPath, main, peerHost, String(S3_PORT)],
    logFile: join(folder, 's3.log'),
    ready: jsonReady('s3'),
  });
}

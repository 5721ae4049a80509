import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Cluster, proxyUrl, startCluster } from '../../bench/fixtures/cluster.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { createShaper } from '../../bench/fixtures/shaper.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { podman } from '../helpers/clients/containers-image.ts';
import { startDockerRegistry } from '../helpers/docker-registry.ts';
import { type Relay, startRelay } from '../helpers/relay.ts';
import { NAMESPACE } from '../helpers/stage.ts';
import { startTokenServer, type TokenServer } from '../helpers/token-server.ts';

const skip = skipReason({ programs: ['docker-registry', 'openssl'] });
const MIB = 1024 * 1024;
const REGISTRY_RATE = 6 * MIB;
const LAYER = randomBytes(36 * MIB);
/** The registry takes a token for a minute longer than it says: this one is taken for four seconds from now. */
const FOUR_SECONDS_LEFT = -56;
const SCOPE = 'repository:team/app:pull';

interface Scene {
  readonly tokens: TokenServer;
  readonly cluster: Cluster;
  readonly folder: string;
  readonly image: GeneratedImage;
  /** What the registry is asked by the whole cluster. */
  readonly relay: Relay;
  /** Digest of {@link LAYER}, the one layer of the image `v1`. */
  readonly layer: string;
}

/** A slow registry that takes signed tokens, and a cluster whose upstream has an account of its own there. */
async function start(t: Test, trust: 'caller' | 'node'): Promise<Scene> {
  const temp = await tempFolder('tenants');
  t.teardown(() => temp[Symbol.asyncDispose]());
  const folder = temp.path;
  const certificate = makeCertificate(folder);
  const tokens = await startTokenServer(certificate, {
    pusher: { password: 'push-secret', rights: { '*': ['pull', 'push'] } },
    node: { password: 'node-secret', rights: { 'team/app': ['pull'] } },
    alice: { password: 'alice-secret', rights: { 'team/app': ['pull'] } },
  });
  t.teardown(() => tokens.close());
  const authorization = `Bearer ${tokens.issue('pusher', 'repository:team/app:pull,push')}`;
  const registry = await startDockerRegistry({ tokens: { realm: tokens.realm, certificate, authorization } });
  t.teardown(() => registry.close());
  const { layers } = await registry.pushImage('team/app', 'v1', [LAYER]);
  const image = await createImage({
    ...{ folder: join(folder, 'image'), tag: 'small', totalBytes: 2 * MIB, layers: 2, seed: 'tenants' },
  });
  await pushImage(image, { registry: registry.url, repository: 'team/app', authorization });
  const relay = await startRelay(registry.url);
  t.teardown(() => relay.close());
  const target = { host: '127.0.0.1', port: Number(new URL(relay.url).port) };
  const shaper = await createShaper({
    listen: { host: '127.0.0.1', port: 0 },
    target,
    bytesPerSecond: REGISTRY_RATE,
  });
  t.teardown(() => shaper.close());
  const config = join(folder, 'config.yaml');
  const upstream = {
    name: NAMESPACE,
    url: `http://${shaper.address}`,
    username: 'node',
    password: 'node-secret',
    trust,
  };
  await writeFile(config, JSON.stringify({ upstream: [upstream] }));
  const cluster = await startCluster({
    ...{ folder, nodes: 2, supernodes: 1, upstreams: {}, logLevel: 'debug' },
    ...{ daemonFlags: ['--config', config], supernodeFlags: ['--config', config] },
  });
  t.teardown(() => cluster.stop());
  return { tokens, cluster, folder, image, relay, layer: layers[0] ?? '' };
}

function urlOf({ cluster, layer }: Scene, node: number, path = `blobs/${layer}`): string {
  const daemon = cluster.daemons[node];
  return `${daemon === undefined ? '' : proxyUrl(daemon)}/v2/team/app/${path}?ns=${NAMESPACE}`;
}

/** Whatever all processes of the cluster have said. */
async function saidBy({ cluster }: Scene): Promise<string> {
  const logs = cluster.members.map(({ logFile }) => readFile(logFile, 'utf8'));
  const metrics = cluster.daemons.map(({ ready }) =>
    fetch(`http://${ready.admin}/metrics`).then((it) => it.text()),
  );
  return (await Promise.all([...logs, ...metrics])).join('\n');
}

await t.test(
  'a pull outlives its token and the supernode: the node reads the rest with its own account',
  { skip },
  async (t) => {
    const scene = await start(t, 'caller');
    scene.tokens.validSeconds = FOUR_SECONDS_LEFT;
    const token = scene.tokens.issue('alice', SCOPE);
    const diesMs = performance.now() + 4_000;
    const options = { headers: { authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(60_000) };
    const answer = await fetch(urlOf(scene, 0), options);
    t.equal(answer.status, 200);
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    let killed: Promise<void> | undefined;
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (performance.now() > diesMs + 500) killed ??= scene.cluster.supernodes[0]?.kill('SIGKILL');
    }
    await killed;
    t.ok(killed !== undefined, `the supernode went away in the middle`);
    t.ok(Buffer.concat(chunks).equals(LAYER), `${bytes} bytes, all of them right`);
    t.equal((await fetch(urlOf(scene, 0), options)).status, 401, 'a new request with that token is refused');
    t.equal((await fetch(urlOf(scene, 1), options)).status, 401, 'on the other node too');
    t.equal((await fetch(urlOf(scene, 1))).status, 401, 'and nobody reads with the account of the node');
  },
);

await t.test(
  'trust: node is said aloud, and gives callers without credentials what the node may read',
  { skip },
  async (t) => {
    const scene = await start(t, 'node');
    for (const node of [0, 1]) {
      const answer = await fetch(urlOf(scene, node));
      t.equal(answer.status, 200);
      t.ok(Buffer.from(await answer.arrayBuffer()).equals(LAYER));
      const admin = `http://${scene.cluster.daemons[node]?.ready.admin}`;
      t.match(await (await fetch(`${admin}/readyz`)).json(), {
        notes: [/insecure/, /^trust: node for registry\.test/],
      });
      t.match(
        await (await fetch(`${admin}/metrics`)).text(),
        /damselfly_upstream_trust\{upstream="registry\.test",trust="node"\} 1/,
      );
    }
    const refused = await fetch(urlOf(scene, 0), {
      headers: { authorization: `Bearer ${scene.tokens.issue('nobody', SCOPE)}` },
    });
    t.equal(refused.status, 401, "the caller's own credentials are the ones that count");
    if (skipReason(podman) === false) {
      const pull = async (name: string): Promise<void> => {
        const podmanFolder = join(scene.folder, name);
        await mkdir(podmanFolder);
        const pulled = await podman.pull({
          ...{ namespace: NAMESPACE, registry: '127.0.0.1:1', repository: 'team/app', tag: 'small' },
          folder: podmanFolder,
          mirror: `${scene.cluster.daemons[0]?.ready.proxy[0]?.address}/${NAMESPACE}`,
        });
        t.equal(pulled.manifestDigest, scene.image.manifest.digest, 'podman, which sends a mirror nothing');
      };
      await pull('podman-cold');
      scene.relay.seen.length = 0;
      await pull('podman-warm');
      const asked = scene.relay.seen.map(({ method, url }) => `${method} ${url}`);
      t.ok(asked.length > 0 && asked.length <= 4, `a warm pull asks the registry: ${asked.join(', ')}`);
      t.notOk(
        asked.some((each) => each.includes('/blobs/')),
        'and not for a blob',
      );
    }
    const said = await saidBy(scene);
    t.match(said, /trust: node for registry\.test: callers without credentials/);
    const tokens = scene.tokens.issued.map((token) => token.split('.').at(-1) ?? token);
    t.ok(tokens.length > 0);
    for (const secret of ['node-secret', Buffer.from('node:node-secret').toString('base64'), ...tokens]) {
      t.notOk(said.includes(secret), 'case 40: no secret in any log or metric');
    }
  },
);

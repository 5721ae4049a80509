import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { podman } from '../helpers/clients/containers-image.ts';
import { PRIVATE, type PrivateStage, startPrivateStage } from '../helpers/private-stage.ts';
import { NAMESPACE } from '../helpers/stage.ts';

const skip = skipReason({ programs: ['docker-registry', 'openssl'] });
const MIB = 1024 * 1024;
const REGISTRY_RATE = 6 * MIB;
const LAYER = randomBytes(36 * MIB);
/** The registry takes a token for a minute longer than it says: this one is taken for four seconds from now. */
const FOUR_SECONDS_LEFT = -56;
const SCOPE = 'repository:team/app:pull';

interface Scene extends PrivateStage {
  readonly image: GeneratedImage;
  /** Digest of {@link LAYER}, the one layer of the image `v1`. */
  readonly layer: string;
}

async function start(t: Test, trust: 'caller' | 'node'): Promise<Scene> {
  const stage = await startPrivateStage({ trust, registryRate: REGISTRY_RATE });
  t.teardown(() => stage[Symbol.asyncDispose]());
  const { authorization, registry } = stage;
  const { layers } = await registry.pushImage(PRIVATE, 'v1', [LAYER]);
  const image = await createImage({
    ...{ folder: join(stage.folder, 'image'), tag: 'small', totalBytes: 2 * MIB, layers: 2, seed: 'tenants' },
  });
  await pushImage(image, { registry: registry.url, repository: PRIVATE, authorization });
  return { ...stage, image, layer: layers[0] ?? '' };
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
        notes: [/^trust: node for registry\.test/],
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

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { containerdCriPull, containerdSections } from '../helpers/clients/configured.ts';
import { podman } from '../helpers/clients/containers-image.ts';
import { PRIVATE, type PrivateStage, startPrivateStage } from '../helpers/private-stage.ts';
import { NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const noRegistry = skipReason({ programs: ['docker-registry', 'openssl'] });
const ALICE = { user: 'alice', password: 'alice-secret' };
const DEADLINE_MS = 60_000;

async function pushPrivate(stage: PrivateStage, options: { tag: string; totalBytes: number }) {
  const folder = join(stage.folder, `image-${options.tag}`);
  const image = await createImage({ ...options, folder, layers: 1, seed: options.tag });
  const { authorization, registry } = stage;
  await pushImage(image, { registry: registry.url, repository: PRIVATE, authorization });
  return image;
}

async function start(t: Test, options: { tag: string; totalBytes: number; registryRate: number }) {
  const stage = await startPrivateStage({ trust: 'caller', registryRate: options.registryRate });
  t.teardown(() => stage[Symbol.asyncDispose]());
  return { stage, image: await pushPrivate(stage, options) };
}

/** Bytes of bodies of the image's layers that the registry has sent to the cluster. */
function layerBytes({ relay }: PrivateStage, { layers }: GeneratedImage): number {
  return relay.seen
    .filter(({ method, url }) => method === 'GET' && layers.some(({ digest }) => url.endsWith(digest)))
    .reduce((sum, { sentBytes }) => sum + sentBytes, 0);
}

t.test(
  'CRI pulls of a private image with Bearer: from the swarm with the right to it, and not without',
  { skip: noRegistry || skipReason({ programs: ['containerd', 'runc', 'unshare'] }) },
  async (t) => {
    const { image, stage } = await start(t, { tag: 'cri', totalBytes: 6 * MIB, registryRate: 100 * MIB });
    let machines = 0;
    const pull = async (node: number, credentials?: typeof ALICE): Promise<string> => {
      const folder = join(stage.folder, `containerd-${machines++}`);
      const hosts = join(folder, 'machine/etc/containerd/certs.d', NAMESPACE);
      await mkdir(hosts, { recursive: true });
      const mirror = stage.cluster.daemons[node]?.ready.proxy[0]?.address ?? '';
      // No server line: what the mirror refuses, nobody gives.
      const host = `[host."http://${mirror}"]\n  capabilities = ["pull", "resolve"]\n`;
      await writeFile(join(hosts, 'hosts.toml'), host);
      const registry = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path =';
      await writeFile(
        join(folder, 'machine/etc/containerd/config.toml'),
        `${containerdSections(folder)}${registry} "/etc/containerd/certs.d"\n`,
      );
      return await containerdCriPull({
        ...{ root: join(folder, 'machine'), folder, image: `${NAMESPACE}/${PRIVATE}:${image.tag}` },
        ...(credentials === undefined ? {} : { credentials }),
      });
    };

    t.equal(await pull(0, ALICE), image.config.digest, 'the reference is the digest of the config');
    t.equal(await pull(1, ALICE), image.config.digest, 'on another node');
    const size = image.layers.reduce((sum, layer) => sum + layer.size, 0);
    t.equal(layerBytes(stage, image), size, 'the registry sent the layer once for both');
    for (const node of [0, 1]) {
      const what = `node ${node}, where the image is cached`;
      await t.rejects(pull(node), /unauthorized|authorization failed|401|403/i, `nobody: ${what}`);
      const mallory = { user: 'mallory', password: 'mallory-secret' };
      await t.rejects(pull(node, mallory), /unauthorized|authorization failed|401|403/i, `mallory: ${what}`);
    }
    const granted = stage.tokens.seen.filter(({ account }) => account === 'alice');
    t.ok(granted.length > 0, "Bearer tokens of alice's own account");
  },
);

/** Seconds for which the registry takes each token; it adds a minute to what the token itself says. */
const TOKEN_SECONDS = 6;
const REGISTRY_LEEWAY_SECONDS = 60;
/** The layer takes three times as long as a token lives. */
const SLOW_RATE = 2 * MIB;
const SLOW_LAYER_BYTES = 3 * TOKEN_SECONDS * SLOW_RATE;

t.test(
  'podman pulls a private layer that takes longer than its token lives, and the supernode dies meanwhile',
  { skip: noRegistry || skipReason(podman) },
  async (t) => {
    const { image, stage } = await start(t, {
      ...{ tag: 'slow', totalBytes: SLOW_LAYER_BYTES, registryRate: SLOW_RATE },
    });
    const { cluster, relay, tokens } = stage;
    tokens.validSeconds = TOKEN_SECONDS - REGISTRY_LEEWAY_SECONDS;
    const folder = join(stage.folder, 'podman');
    await mkdir(folder);
    const startedMs = performance.now();
    // By the name of the mirror itself: podman sends a mirror of registries.conf no credentials.
    const address = cluster.daemons[0]?.ready.proxy[0]?.address ?? '';
    let ended = false;
    const pulling = podman
      .pull({
        ...{ folder, namespace: NAMESPACE, registry: address, repository: PRIVATE },
        ...{ tag: image.tag, credentials: ALICE },
      })
      .finally(() => {
        ended = true;
      });
    pulling.catch(() => {});

    const layerReads = () =>
      relay.seen.filter(
        ({ method, url }) => method === 'GET' && url.endsWith(image.layers[0]?.digest ?? '?'),
      );
    const sent = (): number => layerBytes(stage, image);
    while (!ended && sent() < SLOW_LAYER_BYTES / 2 && performance.now() - startedMs < DEADLINE_MS) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.notOk(ended, 'podman is in the middle');
    const readsBefore = layerReads().length;
    t.equal(readsBefore, 1, 'one read so far, by the supernode');
    const refused = await fetch(`http://${address}/v2/${PRIVATE}/manifests/${image.tag}?ns=${NAMESPACE}`, {
      headers: { authorization: relay.seen.find(isBearerRead)?.headers.authorization ?? '' },
    });
    t.equal(
      refused.status,
      401,
      'the token with which it began is taken no longer, before the supernode dies',
    );
    await cluster.supernodes[0]?.kill('SIGKILL');
    const pulled = await pulling;
    t.equal(pulled.manifestDigest, image.manifest.digest);
    const later = layerReads().slice(readsBefore);
    t.ok(
      later.some(({ headers, status }) => status === 206 && headers.range !== undefined),
      'the rest was read by Range',
    );
  },
);

const isBearerRead = ({ method, headers, status, url }: PrivateStage['relay']['seen'][number]): boolean =>
  method === 'GET' && url.includes('/manifests/') && status === 200 && headers.authorization !== undefined;

import t from 'tap';
import type { Cluster } from '../../bench/fixtures/cluster.ts';
import { createImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { type ContainerClient, skipReason } from '../helpers/clients/client.ts';
import { containerd } from '../helpers/clients/containerd.ts';
import { buildah, podman, skopeo } from '../helpers/clients/containers-image.ts';
import { dockerd } from '../helpers/clients/dockerd.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';

const noRegistry = skipReason({ programs: ['docker-registry', 'busybox'] });
const MIB = 1024 * 1024;
/** Manifests are read by each client under its own rights; blobs once. */
const MAX_RATIO = 1.01;

let stage: Stage;
let cluster: Cluster;
let originBytes = 0;
let clientsServed = 0;

t.before(async () => {
  if (noRegistry !== false) return;
  stage = await createStage('clients', { image: { busybox: '/bin/busybox', compression: 'gzip' } });
  cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
});
t.teardown(() => stage?.[Symbol.asyncDispose]());

const cases: readonly { client: ContainerClient; node: number; way: string; path: string }[] = [
  { client: containerd, node: 0, way: 'hosts.toml, which names the registry in ?ns=', path: '' },
  { client: dockerd, node: 1, way: 'registry-mirrors, which name no registry', path: '' },
  { client: podman, node: 0, way: 'registries.conf, with the registry in the path', path: `/${NAMESPACE}` },
  { client: buildah, node: 1, way: 'registries.conf, with the registry in the path', path: `/${NAMESPACE}` },
  { client: skopeo, node: 1, way: 'registries.conf, naming no registry', path: '' },
];

for (const { client, node, way, path } of cases) {
  t.test(
    `${client.name} pulls through the mirror (${way})`,
    { skip: noRegistry || skipReason(client) },
    async (t) => {
      const { registry, repository, image } = stage;
      const pull = { namespace: NAMESPACE, registry: registry.address, repository, tag: image.tag };
      const direct = await client.pull({ ...pull, folder: await stage.makeFolder(`${client.name}-direct`) });
      const before = await registry.counters();
      const mirror = `${cluster.daemons[node]?.ready.proxy[0]?.address ?? ''}${path}`;
      const folder = await stage.makeFolder(`${client.name}-mirror`);
      const mirrored = await client.pull({ ...pull, folder, mirror });
      originBytes += countersSince(before, await registry.counters()).bytes;
      clientsServed++;
      t.equal(mirrored.manifestDigest, image.manifest.digest);
      t.same(mirrored, direct, 'the same image as straight from the registry');
      t.ok(mirrored.contentDigests.length > image.layers.length, 'config and all layers are there');
    },
  );
}

t.test('the registry sent each blob once for all clients together', { skip: noRegistry }, async (t) => {
  if (clientsServed === 0) {
    t.pass('no pull', { skip: 'no client is installed' });
    return;
  }
  const ratio = originBytes / stage.image.bytes;
  t.ok(ratio <= MAX_RATIO, `${clientsServed} clients read ${ratio.toFixed(3)}x the image from the registry`);
  t.ok(ratio >= 1, 'it was read through the mirror, and nowhere else');
});

/** Bytes of blobs that the mirror of a node has sent. */
async function sentToClients(node: number): Promise<number> {
  const answer = await fetch(`http://${cluster.daemons[node]?.ready.admin ?? ''}/metrics`);
  return Number(/^damselfly_sent_bytes_total\{to="client"\} (\d+)/m.exec(await answer.text())?.[1] ?? 0);
}

for (const { client, node, path } of cases) {
  const skip = noRegistry || skipReason(client);
  t.test(`${client.name} sees at its next pull that a tag was moved at the registry`, { skip }, async (t) => {
    const { registry, repository } = stage;
    const mirror = `${cluster.daemons[node]?.ready.proxy[0]?.address ?? ''}${path}`;
    for (const seed of ['before', 'after']) {
      const name = `${client.name}-${seed}`;
      const image = await createImage({
        ...{ folder: await stage.makeFolder(`image-${name}`), tag: `moving-${client.name}`, seed: name },
        ...{ totalBytes: MIB, layers: 1, busybox: '/bin/busybox', compression: 'gzip' },
      });
      await pushImage(image, { registry: registry.url, repository });
      const { tag } = image;
      const sent = await sentToClients(node);
      const pull = { namespace: NAMESPACE, registry: registry.address, repository, tag, mirror };
      const pulled = await client.pull({ ...pull, folder: await stage.makeFolder(name) });
      t.equal(pulled.manifestDigest, image.manifest.digest, `the image of ${seed}`);
      t.ok((await sentToClients(node)) - sent > image.bytes / 2, 'through the mirror');
    }
  });
}

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pullBeyondToken } from '../helpers/beyond-token.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { containerdCriPull, containerdSections } from '../helpers/clients/configured.ts';
import { podman } from '../helpers/clients/containers-image.ts';
import { layerBytes, PRIVATE, pushPrivate, startPrivateStage } from '../helpers/private-stage.ts';
import { NAMESPACE } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const noRegistry = skipReason({ programs: ['docker-registry', 'openssl'] });
const ALICE = { user: 'alice', password: 'alice-secret' };

async function start(t: Test, options: { tag: string; totalBytes: number; registryRate: number }) {
  const stage = await startPrivateStage({ trust: 'caller', registryRate: options.registryRate });
  t.teardown(() => stage[Symbol.asyncDispose]());
  return { stage, image: await pushPrivate(stage, options) };
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

t.test(
  'podman pulls a private layer that takes longer than its token lives, and the supernode dies meanwhile',
  { skip: noRegistry || skipReason(podman) },
  (t) => pullBeyondToken(t, { tokenSeconds: 6, layerSeconds: 18, killSeconds: 9, registryRate: 2 * MIB }),
);

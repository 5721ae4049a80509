import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../bench/fixtures/child.ts';
import { digestOf } from '../../../lib/core/digest.ts';
import type { ClientImage, ClientPull, ContainerClient } from './client.ts';
import { unmountBelow } from './unmount.ts';

/** podman, with the mirror in its registries.conf. */
export const podman: ContainerClient = {
  name: 'podman',
  programs: ['podman', 'runc'],
  async pull(pull): Promise<ClientImage> {
    const { folder, credentials } = pull;
    const env = await containersEnvironment(pull);
    const podmanRun = async (...args: string[]): Promise<string> => {
      const limit = pull.timeoutMs === undefined ? {} : { timeoutMs: pull.timeoutMs };
      const { code, stdout, output } = await run('podman', args, { env, ...limit });
      if (code !== 0) throw new Error(`podman ${args[0] ?? ''}: ${output.trim()}`);
      return stdout;
    };
    try {
      const image = `${pull.namespace}/${pull.repository}:${pull.tag}`;
      if (credentials !== undefined) {
        const { user, password } = credentials;
        await podmanRun(
          'login',
          '--tls-verify=false',
          '--username',
          user,
          '--password',
          password,
          askedHost(pull),
        );
      }
      await podmanRun('pull', '--quiet', image);
      const [found] = JSON.parse(await podmanRun('image', 'inspect', image)) as [
        { Id: string; Digest: string; RootFS: { Layers: string[] } },
      ];
      return {
        manifestDigest: found.Digest,
        contentDigests: [`sha256:${found.Id}`, ...found.RootFS.Layers].sort(),
      };
    } finally {
      await unmountBelow(folder);
    }
  },
};

/** buildah, with the mirror in its registries.conf. */
export const buildah: ContainerClient = {
  name: 'buildah',
  programs: ['buildah', 'runc'],
  async pull(pull): Promise<ClientImage> {
    const env = await containersEnvironment(pull);
    const buildahRun = async (...args: string[]): Promise<string> => {
      const { code, stdout, output } = await run('buildah', args, { env });
      if (code !== 0) throw new Error(`buildah ${args[0] ?? ''}: ${output.trim()}`);
      return stdout;
    };
    try {
      const image = `${pull.namespace}/${pull.repository}:${pull.tag}`;
      if (pull.credentials !== undefined) {
        const { user, password } = pull.credentials;
        const login = ['login', '--tls-verify=false', '--username', user, '--password', password];
        await buildahRun(...login, askedHost(pull));
      }
      await buildahRun('pull', '--quiet', image);
      const found = JSON.parse(await buildahRun('inspect', '--type', 'image', image)) as {
        FromImageID: string;
        FromImageDigest: string;
        OCIv1: { rootfs: { diff_ids: string[] } };
      };
      return {
        manifestDigest: found.FromImageDigest,
        contentDigests: [`sha256:${found.FromImageID}`, ...found.OCIv1.rootfs.diff_ids].sort(),
      };
    } finally {
      await unmountBelow(pull.folder);
    }
  },
};

/** skopeo, copying into a folder; its registries.conf comes by flag. */
export const skopeo: ContainerClient = {
  name: 'skopeo',
  programs: ['skopeo'],
  async pull(pull): Promise<ClientImage> {
    const target = join(pull.folder, 'image');
    const skopeoRun = async (...args: string[]): Promise<void> => {
      const { code, output } = await run('skopeo', args);
      if (code !== 0) throw new Error(`skopeo: ${output.trim()}`);
    };
    const authFile = join(pull.folder, 'auth.json');
    await writeFile(authFile, '{}');
    if (pull.credentials !== undefined) {
      const { user, password } = pull.credentials;
      const login = ['login', '--tls-verify=false', '--authfile', authFile, '--username', user];
      await skopeoRun(...login, '--password', password, askedHost(pull));
    }
    const registries = ['--registries-conf', await writeRegistries(pull)];
    const source = `docker://${pull.namespace}/${pull.repository}:${pull.tag}`;
    await skopeoRun(...registries, 'copy', '--quiet', '--src-authfile', authFile, source, `dir:${target}`);
    const names = (await readdir(target)).filter((name) => /^[0-9a-f]{64}$/.test(name));
    // The names are what it believes; the bytes are what counts.
    const blobs = await Promise.all(names.map(async (name) => digestOf(await readFile(join(target, name)))));
    return {
      manifestDigest: digestOf(await readFile(join(target, 'manifest.json'))),
      contentDigests: blobs.sort(),
    };
  },
};

/** Both look credentials up by the name of whoever they ask: the mirror's, not the registry's. */
function askedHost({ mirror, registry }: ClientPull): string {
  return (mirror ?? registry).split('/')[0] ?? '';
}

async function writeRegistries({ folder, namespace, registry, mirror }: ClientPull): Promise<string> {
  const file = join(folder, 'registries.conf');
  const lines = ['[[registry]]', `prefix = "${namespace}"`, `location = "${registry}"`, 'insecure = true'];
  if (mirror !== undefined) lines.push('[[registry.mirror]]', `location = "${mirror}"`, 'insecure = true');
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

async function containersEnvironment(pull: ClientPull): Promise<Record<string, string>> {
  return {
    ...(await containersStorage(pull.folder)),
    CONTAINERS_REGISTRIES_CONF: await writeRegistries(pull),
  };
}

/** Keeps podman and buildah in a folder. @returns their environment */
export async function containersStorage(folder: string): Promise<Record<string, string>> {
  const storage = join(folder, 'storage.conf');
  const containers = join(folder, 'containers.conf');
  await mkdir(join(folder, 'tmp'), { recursive: true });
  const roots = `runroot = "${join(folder, 'run')}"\ngraphroot = "${join(folder, 'graph')}"\n`;
  await writeFile(storage, `[storage]\ndriver = "overlay"\n${roots}`);
  const engine = `cgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\ntmp_dir = "${folder}/tmp"\n`;
  await writeFile(containers, `[engine]\n${engine}`);
  await writeFile(join(folder, 'auth.json'), '{}');
  return {
    CONTAINERS_STORAGE_CONF: storage,
    CONTAINERS_CONF: containers,
    REGISTRY_AUTH_FILE: join(folder, 'auth.json'),
    TMPDIR: join(folder, 'tmp'),
  };
}

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, startChild } from '../../../bench/fixtures/child.ts';
import { criPullImage } from './cri.ts';
import { unmountBelow } from './unmount.ts';

/** A client whose files under /etc are those of the folder `root`, and whose data is in `folder`. */
export interface ConfiguredPull {
  readonly root: string;
  /** Empty, and of its own. */
  readonly folder: string;
  readonly image: string;
  /** As the kubelet sends them from a pull secret; for the CRI alone. */
  readonly credentials?: { readonly user: string; readonly password: string };
}

/** Argv that runs a command with the folder over the machine's own, seen by that command alone. */
function withEtc(root: string, name: string, command: readonly string[]): string[] {
  const mounted = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
  return ['--mount', 'sh', '-c', mounted, 'sh', join(root, 'etc', name), `/etc/${name}`, ...command];
}

/** The sections of containerd's configuration that keep it in a folder. */
export function containerdSections(folder: string): string {
  return [
    'version = 2 # of the file',
    `root = "${join(folder, 'root')}"`,
    `state = "${join(folder, 'state')}"`,
    `[grpc]\n  address = "${join(folder, 'c.sock')}"`,
    `[ttrpc]\n  address = "${join(folder, 'c.ttrpc')}"`,
    `[plugins]\n  [plugins."io.containerd.internal.v1.opt"]\n    path = "${join(folder, 'opt')}"\n`,
  ].join('\n');
}

/** Pulls by the CRI, with /etc/containerd as it is in `root`. @returns the image's reference */
export async function containerdCriPull({
  root,
  folder,
  image,
  credentials,
}: ConfiguredPull): Promise<string> {
  const daemon = await startChild({
    command: 'unshare',
    args: withEtc(root, 'containerd', ['containerd', '-c', '/etc/containerd/config.toml']),
    logFile: join(folder, 'containerd.log'),
    ready: (line) => (line.includes('containerd successfully booted') ? true : undefined),
  });
  try {
    return await criPullImage(join(folder, 'c.sock'), image, credentials);
  } finally {
    await daemon.stop();
    await unmountBelow(folder);
  }
}

/** Pulls with /etc/containers as it is in `root`. @returns the manifest's digest */
export async function podmanPull({ root, folder, image }: ConfiguredPull): Promise<string> {
  const storage = join(folder, 'storage.conf');
  const containers = join(folder, 'containers.conf');
  await mkdir(join(folder, 'tmp'));
  await writeFile(
    storage,
    `[storage]\ndriver = "overlay"\nrunroot = "${join(folder, 'run')}"\ngraphroot = "${join(folder, 'graph')}"\n`,
  );
  await writeFile(
    containers,
    `[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\ntmp_dir = "${folder}/tmp"\n`,
  );
  const env = { CONTAINERS_STORAGE_CONF: storage, CONTAINERS_CONF: containers, TMPDIR: join(folder, 'tmp') };
  const podman = async (...args: string[]): Promise<string> => {
    const { code, stdout, output } = await run('unshare', withEtc(root, 'containers', ['podman', ...args]), {
      env,
    });
    if (code !== 0) throw new Error(`podman ${args[0] ?? ''}: ${output.trim()}`);
    return stdout;
  };
  try {
    await podman('pull', '--quiet', image);
    const [found] = JSON.parse(await podman('image', 'inspect', image)) as [{ Digest: string }];
    return found.Digest;
  } finally {
    await unmountBelow(folder);
  }
}

/** Pulls with the daemon.json of `root`. @returns the manifest's digest */
export async function dockerPull({ root, folder, image }: ConfiguredPull): Promise<string> {
  const socket = `unix://${join(folder, 'docker.sock')}`;
  const daemon = await startChild({
    command: 'dockerd',
    args: [
      ...['--config-file', join(root, 'etc/docker/daemon.json'), '--host', socket],
      ...['--pidfile', join(folder, 'docker.pid'), '--data-root', join(folder, 'root')],
      ...['--exec-root', join(folder, 'exec'), '--iptables=false', '--ip6tables=false'],
      ...['--bridge=none', '--storage-driver=vfs'],
    ],
    logFile: join(folder, 'dockerd.log'),
    ready: (line) => (line.includes('API listen on') ? true : undefined),
  });
  const docker = async (...args: string[]): Promise<string> => {
    const { code, stdout, output } = await run('docker', ['--host', socket, ...args]);
    if (code !== 0) throw new Error(`docker ${args[0] ?? ''}: ${output.trim()}`);
    return stdout;
  };
  try {
    await docker('pull', '--quiet', image);
    const [found] = JSON.parse(await docker('image', 'inspect', image)) as [{ RepoDigests: string[] }];
    return found.RepoDigests[0]?.split('@')[1] ?? '';
  } finally {
    await daemon.stop();
    await unmountBelow(folder);
  }
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, startChild } from '../../../bench/fixtures/child.ts';
import type { ClientImage, ClientPull, ContainerClient } from './client.ts';
import { unmountBelow } from './unmount.ts';

/**
 * dockerd with `registry-mirrors`, which serve only names without a registry (its default namespace): through the
 * mirror it pulls `repository:tag`, directly `registry/repository:tag`, and through a forward proxy
 * `namespace/repository:tag`.
 */
export const dockerd: ContainerClient = {
  name: 'dockerd',
  programs: ['dockerd', 'docker', 'containerd', 'runc'],
  async pull({ folder, ...pull }): Promise<ClientImage> {
    const { mirror, forward, credentials } = pull;
    const config = mirror === undefined ? {} : { 'registry-mirrors': [`http://${mirror}`] };
    const env: Record<string, string> =
      forward === undefined
        ? {}
        : { HTTPS_PROXY: `http://${forward.address}`, NO_PROXY: '', SSL_CERT_FILE: forward.ca };
    return await withDockerd({ folder, config, env }, async (docker) => {
      const image = imageName(pull);
      if (credentials !== undefined) {
        const { user, password } = credentials;
        await docker('login', '--username', user, '--password', password, pull.namespace);
      }
      await docker('pull', '--quiet', image);
      const said = await docker('run', '--rm', '--network=none', image, '/bin/sh', '-c', 'echo it runs');
      if (said !== 'it runs') throw new Error(`the container said: ${said}`);
      const [found] = JSON.parse(await docker('image', 'inspect', image)) as [
        { Id: string; RepoDigests: string[]; RootFS: { Layers: string[] } },
      ];
      return {
        manifestDigest: found.RepoDigests[0]?.split('@')[1] ?? '',
        contentDigests: [found.Id, ...found.RootFS.Layers].sort(),
      };
    });
  },
};

/** A `docker` command that must succeed. @returns what it printed */
export type Docker = (...args: string[]) => Promise<string>;

/** Runs a dockerd in the folder for as long as `use` takes. */
export async function withDockerd<T>(
  options: {
    readonly folder: string;
    readonly config?: object;
    readonly env?: Readonly<Record<string, string>>;
  },
  use: (docker: Docker) => Promise<T>,
): Promise<T> {
  const { folder, config = {}, env = {} } = options;
  const file = join(folder, 'daemon.json');
  const socket = `unix://${join(folder, 'docker.sock')}`;
  await writeFile(file, JSON.stringify(config));
  const daemon = await startChild({
    command: 'dockerd',
    args: [
      ...['--config-file', file, '--host', socket, '--pidfile', join(folder, 'docker.pid')],
      ...['--data-root', join(folder, 'root'), '--exec-root', join(folder, 'exec')],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs'],
    ],
    logFile: join(folder, 'dockerd.log'),
    env,
    ready: (line) => (line.includes('API listen on') ? true : undefined),
  });
  try {
    return await use(async (...args) => {
      const cli = ['--config', join(folder, 'cli'), '--host', socket];
      const { code, stdout, output } = await run('docker', [...cli, ...args]);
      if (code !== 0) throw new Error(`docker ${args[0] ?? ''}: ${output.trim()}`);
      return stdout.trim();
    });
  } finally {
    await daemon.stop();
    await unmountBelow(folder);
  }
}

function imageName({
  forward,
  mirror,
  namespace,
  registry,
  repository,
  tag,
}: Omit<ClientPull, 'folder'>): string {
  const host = forward === undefined ? registry : namespace;
  return `${mirror === undefined ? `${host}/` : ''}${repository}:${tag}`;
}

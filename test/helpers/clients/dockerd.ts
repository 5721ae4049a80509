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
    const config = join(folder, 'daemon.json');
    const socket = `unix://${join(folder, 'docker.sock')}`;
    await writeFile(
      config,
      JSON.stringify(mirror === undefined ? {} : { 'registry-mirrors': [`http://${mirror}`] }),
    );
    const daemon = await startChild({
      command: 'dockerd',
      args: [
        ...['--config-file', config, '--host', socket, '--pidfile', join(folder, 'docker.pid')],
        ...['--data-root', join(folder, 'root'), '--exec-root', join(folder, 'exec')],
        ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs'],
      ],
      logFile: join(folder, 'dockerd.log'),
      env:
        forward === undefined
          ? {}
          : { HTTPS_PROXY: `http://${forward.address}`, NO_PROXY: '', SSL_CERT_FILE: forward.ca },
      ready: (line) => (line.includes('API listen on') ? true : undefined),
    });
    const docker = async (...args: string[]): Promise<string> => {
      const { code, stdout, output } = await run('docker', [
        '--config',
        join(folder, 'cli'),
        '--host',
        socket,
        ...args,
      ]);
      if (code !== 0) throw new Error(`docker ${args[0] ?? ''}: ${output.trim()}`);
      return stdout.trim();
    };
    try {
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
    } finally {
      await daemon.stop();
      await unmountBelow(folder);
    }
  },
};

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

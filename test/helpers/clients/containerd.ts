import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandResult, run, startChild } from '../../../bench/fixtures/child.ts';
import type { ClientImage, ClientPull, ContainerClient } from './client.ts';
import { unmountBelow } from './unmount.ts';

/** containerd and ctr, with the mirror in a hosts.toml. */
export const containerd: ContainerClient = {
  name: 'containerd',
  programs: ['containerd', 'ctr', 'runc'],
  async pull(pull): Promise<ClientImage> {
    const { folder } = pull;
    await writeHosts(pull);
    const { signal, timeoutMs } = pull;
    const limits = { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal && { signal }) };
    return await withContainerd(folder, limits, async (ctr, probe) => {
      const image = `${pull.namespace}/${pull.repository}:${pull.tag}`;
      const { credentials } = pull;
      const user = credentials === undefined ? [] : ['--user', `${credentials.user}:${credentials.password}`];
      await ctr('images', 'pull', '--hosts-dir', join(folder, 'certs.d'), ...user, image);
      const line = (await ctr('images', 'ls')).split('\n').find((text) => text.startsWith(`${image} `));
      await probe(image);
      return {
        manifestDigest: /sha256:[0-9a-f]{64}/.exec(line ?? '')?.[0] ?? '',
        contentDigests: (await ctr('content', 'ls', '-q')).trim().split('\n').sort(),
      };
    });
  },
};

/** A `ctr` command that must succeed. @returns what it printed */
export type Ctr = (...args: string[]) => Promise<string>;

/** Runs a container of an image. @throws Error unless the image's shell ran */
export type Probe = (image: string) => Promise<void>;

/** Neither `ctr` nor runc ends with it. */
export const RAN = 42;
const PROBE = ['/bin/sh', '-c', `echo it runs; exit ${RAN}`];

/**
 * That the shell ran is told by its exit status, not by what it printed: on a busy machine `ctr run` was seen to end
 * with 0 and without a word of a container that prints one.
 * @throws Error when it did not
 */
export function requireRan({ code, output }: CommandResult): void {
  if (code !== RAN) throw new Error(`the container ended with ${code}: ${output.trim()}`);
}

/** Their runc keeps them in one place on this machine, whichever containerd started them. */
function containerId(): string {
  return `probe-${randomUUID()}`;
}

/** Runs a containerd in the folder for as long as `use` takes. @param limits of each `ctr` command */
export async function withContainerd<T>(
  folder: string,
  limits: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  use: (ctr: Ctr, probe: Probe) => Promise<T>,
): Promise<T> {
  const config = join(folder, 'containerd.toml');
  await writeFile(
    config,
    [
      'version = 2',
      `root = "${join(folder, 'root')}"`,
      `state = "${join(folder, 'state')}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      `[grpc]\naddress = "${join(folder, 'c.sock')}"`,
      `[ttrpc]\naddress = "${join(folder, 'c.ttrpc')}"`,
    ].join('\n'),
  );
  const daemon = await startChild({
    command: 'containerd',
    args: ['-c', config],
    logFile: join(folder, 'containerd.log'),
    ready: (line) => (line.includes('containerd successfully booted') ? true : undefined),
  });
  const env = { CONTAINERD_ADDRESS: join(folder, 'c.sock') };
  try {
    const ctr: Ctr = async (...args) => {
      const { code, stdout, output } = await run('ctr', args, { env, ...limits });
      // Before its last line it has drawn the progress of the pull again and again.
      const reason = output.trim().split('\n').at(-1) ?? '';
      if (code !== 0) throw new Error(`ctr ${args[0] ?? ''} ${args[1] ?? ''}: ${reason}`);
      return stdout;
    };
    const probe: Probe = async (image) => {
      const args = ['run', '--rm', image, containerId(), ...PROBE];
      requireRan(await run('ctr', args, { env, ...limits }));
    };
    return await use(ctr, probe);
  } finally {
    await daemon.stop();
    await unmountBelow(folder);
  }
}

async function writeHosts({ folder, namespace, registry, mirror }: ClientPull): Promise<void> {
  await mkdir(join(folder, 'certs.d', namespace), { recursive: true });
  // A file without any [host] table would be ignored.
  const host = `[host."http://${mirror ?? registry}"]\n  capabilities = ["pull", "resolve"]\n`;
  await writeFile(join(folder, 'certs.d', namespace, 'hosts.toml'), `server = "http://${registry}"\n${host}`);
}

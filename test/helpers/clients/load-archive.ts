import { join } from 'node:path';
import { run } from '../../../bench/fixtures/child.ts';
import { withContainerd } from './containerd.ts';
import { containersStorage } from './containers-image.ts';
import { withDockerd } from './dockerd.ts';
import { unmountBelow } from './unmount.ts';

/** An archive for a real tool to load, and what is in it. */
export interface ArchiveToLoad {
  readonly archive: string;
  /** Empty, and of the tool's own. */
  readonly folder: string;
  /** Name under which the image must be found, with its tag. */
  readonly image: string;
}

/** What a tool says it has loaded; `config` is the image id of docker and podman. */
export interface LoadedImage {
  readonly manifest?: string;
  readonly config?: string;
  /** What the image's shell said, where the tool ran it. */
  readonly said?: string;
}

export interface ArchiveLoader {
  readonly name: string;
  readonly programs: readonly string[];
  /** @throws Error in the tool's words */
  load(what: ArchiveToLoad): Promise<LoadedImage>;
}

const SAY = ['/bin/sh', '-c', 'echo it runs'];

export const dockerLoad: ArchiveLoader = {
  name: 'docker load',
  programs: ['dockerd', 'docker', 'containerd', 'runc'],
  load: ({ archive, folder, image }) =>
    withDockerd({ folder }, async (docker) => {
      await docker('load', '--quiet', '--input', archive);
      const config = await docker('image', 'inspect', '--format', '{{.Id}}', image);
      return { config, said: await docker('run', '--rm', '--network=none', image, ...SAY) };
    }),
};

export const ctrImport: ArchiveLoader = {
  name: 'ctr images import',
  programs: ['containerd', 'ctr', 'runc'],
  load: ({ archive, folder, image }) =>
    withContainerd(folder, {}, async (ctr, probe) => {
      await ctr('images', 'import', archive);
      const line = (await ctr('images', 'ls')).split('\n').find((text) => text.startsWith(`${image} `));
      const manifest = /sha256:[0-9a-f]{64}/.exec(line ?? '')?.[0] ?? '';
      await probe(image);
      return { manifest };
    }),
};

export const podmanLoad: ArchiveLoader = {
  name: 'podman load',
  programs: ['podman', 'runc'],
  async load({ archive, folder, image }) {
    const env = await containersStorage(folder);
    const podman = async (...args: string[]): Promise<string> => {
      const { code, stdout, output } = await run('podman', args, { env });
      if (code !== 0) throw new Error(`podman ${args[0] ?? ''}: ${output.trim()}`);
      return stdout.trim();
    };
    try {
      await podman('load', '--quiet', '--input', archive);
      const [found] = JSON.parse(await podman('image', 'inspect', image)) as [{ Id: string; Digest: string }];
      return { manifest: found.Digest, config: `sha256:${found.Id}` };
    } finally {
      await unmountBelow(folder);
    }
  },
};

/** By both of its names for the file. */
export const skopeoInspect: ArchiveLoader = {
  name: 'skopeo inspect',
  programs: ['skopeo'],
  async load({ archive, folder }) {
    const skopeo = async (...args: string[]): Promise<string> => {
      const { code, stdout, output } = await run('skopeo', ['--tmpdir', folder, ...args]);
      if (code !== 0) throw new Error(`skopeo ${args[0] ?? ''}: ${output.trim()}`);
      return stdout.trim();
    };
    const manifest = await skopeo('inspect', '--format', '{{.Digest}}', `oci-archive:${archive}`);
    await skopeo('copy', '--quiet', `docker-archive:${archive}`, `dir:${join(folder, 'copied')}`);
    return { manifest };
  },
};

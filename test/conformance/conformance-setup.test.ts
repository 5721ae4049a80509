import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { type Changes, planSetup, planUndo } from '../../dfget/setup/apply.ts';
import { SETUP_CLIENTS } from '../../dfget/setup/clients.ts';
import { createMachineFiles } from '../../dfget/setup/machine-files.ts';

const REGISTRIES = ['docker.io', 'harbor.corp'].map((name) => ({
  ...{ name, mirror: '127.0.0.1:65001', ownListener: false },
}));

/** What is on the machine before: text by path. Odd line ends, tabs and comments are what an undo must bring back. */
const CLIENTS: readonly { readonly client: string; readonly before: Readonly<Record<string, string>> }[] = [
  { client: 'containerd', before: {} },
  {
    client: 'containerd',
    before: {
      '/etc/containerd/config.toml':
        '# ours\r\nversion = 2\r\n[plugins]\r\n\t[plugins."io.containerd.grpc.v1.cri"]\r\n\tsandbox_image = "pause:3.9" # pinned',
      '/etc/containerd/certs.d/harbor.corp/hosts.toml':
        'server = "https://harbor.corp"\n\n# the old cache\n[host."https://cache.corp"]\n  capabilities = ["pull"]\n',
    },
  },
  { client: 'docker', before: {} },
  {
    client: 'docker',
    before: { '/etc/docker/daemon.json': '{"features": {"containerd-snapshotter": true}}' },
  },
  {
    client: 'docker',
    before: {
      '/etc/docker/daemon.json':
        '{\n\t"log-driver": "journald",\n\t"registry-mirrors": ["https://cache.corp"]}',
    },
  },
  {
    client: 'podman',
    before: { '/etc/containers/registries.conf': 'unqualified-search-registries = ["docker.io"]\n' },
  },
  { client: 'crio', before: {} },
  {
    client: 'k3s',
    before: {
      '/etc/rancher/k3s/registries.yaml':
        'mirrors:\n  quay.io:\n    endpoint:\n      - https://quay.corp # kept\n',
    },
  },
  {
    client: 'buildkit',
    before: { '/etc/buildkit/buildkitd.toml': 'debug = true\n\n[registry."harbor.corp"]\n  http = false\n' },
  },
];

/** Every file and folder: bytes, modes, targets of links. */
async function machine(root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const { mode } = await stat(path);
    const content = entry.isFile()
      ? await readFile(path, 'base64')
      : entry.isSymbolicLink()
        ? await readlink(path)
        : 'folder';
    found[path.slice(root.length)] = `${mode.toString(8)} ${content}`;
  }
  return found;
}

for (const { before, client: name } of CLIENTS) {
  const client = SETUP_CLIENTS.find((each) => each.name === name);
  if (client === undefined) throw new Error(`no client ${name}`);
  const there = Object.keys(before);
  const title = `${name}, ${there.length === 0 ? 'nothing there before' : `beside ${there.join(', ')}`}`;
  t.test(
    `case 77: generated configuration of ${title}: twice is once, undo brings every byte back`,
    async (t) => {
      const root = await mkdtemp(join(tmpdir(), 'damselfly-setup-'));
      t.teardown(() => rm(root, { recursive: true, force: true }));
      await mkdir(join(root, 'var/lib'), { recursive: true });
      for (const [path, text] of Object.entries(before)) {
        await mkdir(dirname(join(root, path)), { recursive: true });
        await writeFile(join(root, path), text);
        await chmod(join(root, path), 0o640);
      }
      const files = createMachineFiles(root);
      const setup = (): Changes => {
        const changes = planSetup(files, client, REGISTRIES);
        changes.carryOut();
        return changes;
      };
      const original = await machine(root);
      t.not(planSetup(files, client, REGISTRIES).files.length, 0);
      t.same(await machine(root), original, 'a plan touches nothing');
      setup();
      const once = await machine(root);
      t.notSame(once, original);
      t.equal(setup().files.length, 0, 'nothing is left to do');
      t.same(await machine(root), once, 'twice is once');
      planUndo(files, client).carryOut();
      t.same(await machine(root), original, 'undo');
    },
  );
}

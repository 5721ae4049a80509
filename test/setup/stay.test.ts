import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Child, run, startChild } from '../../bench/fixtures/child.ts';

const dfget = join(import.meta.dirname, '..', '..', 'bin', 'dfget');

/** Every file below a folder with its bytes. */
function filesIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    names.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length), entry.isFile() ? readFileSync(path, 'latin1') : 'folder'];
    }),
  );
}

interface Told {
  readonly files: readonly { readonly path: string }[];
}

/** A machine in a folder whose containerd has these files, and what sets it up for as long as it runs. */
function machine(t: Test, containerd: Readonly<Record<string, string>>) {
  const settings = 'upstream: [registry.test=http://127.0.0.1:1]\nproxy-listen: [127.0.0.1:65001]\n';
  const folder = t.testdir({ machine: { etc: { damselfly: { 'daemon.yaml': settings }, containerd } } });
  const root = join(folder, 'machine');
  const stay = async (): Promise<Child<Told>> => {
    const child = await startChild<Told>({
      command: dfget,
      args: ['setup', 'containerd', '--root', root, '--stay', '--json'],
      logFile: join(folder, 'stay.log'),
      ready: (line) => (line.startsWith('{') ? (JSON.parse(line) as Told) : undefined),
    });
    t.teardown(() => child.stop());
    return child;
  };
  return { root, stay };
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`setup --stay holds until ${signal}, and leaves the machine as it was`, async (t) => {
    const { root, stay } = machine(t, { 'config.toml': '# mine\nversion = 2\n' });
    const before = filesIn(root);
    const staying = await stay();
    t.same(staying.ready.files.map(({ path }) => path).sort(), [
      '/etc/containerd/certs.d/registry.test/hosts.toml',
      '/etc/containerd/config.toml',
    ]);
    t.match(
      readFileSync(join(root, 'etc/containerd/certs.d/registry.test/hosts.toml'), 'utf8'),
      /\[host\."http:\/\/127\.0\.0\.1:65001"\]/,
    );
    await staying.kill(signal);
    t.equal(staying.exitCode, 0);
    const after = filesIn(root);
    for (const path of ['/var', '/var/lib', '/var/lib/damselfly']) delete after[path];
    t.same(after, before);
  });
}

t.test('a killed setup --stay is taken over by the next one', async (t) => {
  const { root, stay } = machine(t, {});
  await (await stay()).kill('SIGKILL');
  const next = await stay();
  t.same(next.ready.files, [], 'all of it is there');
  await next.kill('SIGTERM');
  t.same(readdirSync(join(root, 'etc/containerd')), []);
});

t.test('--stay goes with neither --undo nor --dry-run', async (t) => {
  for (const flag of ['--undo', '--dry-run']) {
    t.equal((await run(dfget, ['setup', 'containerd', '--stay', flag])).code, 2);
  }
});

t.test(
  'in a container whose root is read-only, mount points stay and all else goes',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const { root } = machine(t, { 'config.toml': '# mine\nversion = 2\n' });
    const setup = `${dfget} setup containerd --root "$0"`;
    const mounts = [
      'mount --bind "$0" "$0" && mkdir -p "$0/var/lib/damselfly/setup"',
      'mount -t tmpfs tmpfs "$0/var/lib/damselfly/setup" && mount --bind "$0/etc/containerd" "$0/etc/containerd"',
      `mount -o remount,ro,bind "$0" && ${setup} && ${setup} --undo && ls -A "$0/var/lib/damselfly/setup"`,
    ];
    const { code, output } = await run('unshare', ['--mount', 'sh', '-c', mounts.join(' && '), root]);
    t.equal(code, 0, output);
    t.match(output, /removed .*hosts\.toml\n$/, 'and nothing is left where originals were kept');
    t.same(readdirSync(join(root, 'etc/containerd')), ['config.toml']);
  },
);

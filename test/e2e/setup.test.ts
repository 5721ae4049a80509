import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import {
  type ConfiguredPull,
  containerdCriPull,
  containerdSections,
  dockerPull,
  podmanPull,
} from '../helpers/clients/configured.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const noRegistry = skipReason({ programs: ['docker-registry', 'busybox', 'unshare'] });
const bin = (name: string): string => join(import.meta.dirname, '..', '..', 'bin', name);

let stage: Stage;
let cluster: Cluster;

t.before(async () => {
  if (noRegistry !== false) return;
  stage = await createStage('setup', {
    image: { totalBytes: 8 * MIB, layers: 3, busybox: '/bin/busybox', compression: 'gzip' },
  });
  cluster = await stage.startCluster({ nodes: 1, supernodes: 1 });
});
t.teardown(() => stage?.[Symbol.asyncDispose]());

const mirror = (): string => cluster.daemons[0]?.ready.proxy[0]?.address ?? '';
const socket = (): string => cluster.daemons[0]?.ready.socket ?? '';

/** Bytes of blobs that the mirror has sent to clients. */
async function mirrored(): Promise<number> {
  const metrics = await (await fetch(`http://${cluster.daemons[0]?.ready.admin ?? ''}/metrics`)).text();
  return Number(/^damselfly_sent_bytes_total\{to="client"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

async function dfget(...args: string[]): Promise<string> {
  const { code, output } = await run(bin('dfget'), args);
  if (code !== 0) throw new Error(`dfget ${args.join(' ')}: ${output}`);
  return output;
}

/** Podman needs more of its files than the test is about. */
async function prepareMachine(
  name: string,
  root: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  if (name === 'podman') await cp('/etc/containers', join(root, 'etc/containers'), { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

/** Every file below a folder, by its path. */
async function filesBelow(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found: Record<string, string> = {};
  for (const path of files) found[path] = await readFile(path, 'base64');
  return found;
}

const cases: readonly {
  readonly name: string;
  /** Which of its files it reads. */
  readonly how: string;
  readonly programs: readonly string[];
  /** What is on the machine before: text by path under its root, from the client's data folder. */
  readonly before: (folder: string) => Readonly<Record<string, string>>;
  readonly registry: () => string;
  readonly image: () => string;
  readonly pull: (pull: ConfiguredPull) => Promise<string>;
}[] = [
  {
    name: 'containerd',
    how: 'hosts.toml and config_path',
    programs: ['containerd', 'runc'],
    before: (folder) => ({ 'etc/containerd/config.toml': containerdSections(folder) }),
    registry: () => `${NAMESPACE}=${stage.registry.url}`,
    image: () => `${NAMESPACE}/${stage.repository}:${stage.image.tag}`,
    pull: containerdCriPull,
  },
  {
    name: 'podman',
    how: 'an entry in registries.conf',
    programs: ['podman', 'runc'],
    before: () => ({
      // The registry's own entry, as an administrator has to have it for a registry without TLS.
      'etc/containers/registries.conf': `# ours\n[[registry]]\nlocation = "${stage.registry.address}" # no TLS\nprefix = "${NAMESPACE}"\ninsecure = true`,
    }),
    registry: () => NAMESPACE,
    image: () => `${NAMESPACE}/${stage.repository}:${stage.image.tag}`,
    pull: podmanPull,
  },
  {
    name: 'podman',
    how: 'a file of its own',
    programs: ['podman', 'runc'],
    before: () => ({}),
    registry: () => `${NAMESPACE}=${stage.registry.url}`,
    image: () => `${NAMESPACE}/${stage.repository}:${stage.image.tag}`,
    pull: podmanPull,
  },
  {
    name: 'docker',
    how: 'daemon.json',
    programs: ['dockerd', 'docker', 'containerd', 'runc'],
    before: () => ({ 'etc/docker/daemon.json': '{"log-driver": "json-file"}' }),
    registry: () => 'docker.io',
    image: () => `${stage.repository}:${stage.image.tag}`,
    pull: dockerPull,
  },
];

for (const { name, how, programs, before, registry, image, pull } of cases) {
  const skip = noRegistry || skipReason({ programs });
  t.test(
    `${name} pulls through the mirror as setup wrote it (${how}), and undo takes it back`,
    { skip },
    async (t) => {
      const root = await stage.makeFolder(`${name}-${how}-machine`.replaceAll(' ', '-'));
      const folder = await stage.makeFolder(`${name}-${how}-data`.replaceAll(' ', '-'));
      await prepareMachine(name, root, before(folder));
      const original = await filesBelow(root);
      const flags = [name, '--root', root, '--upstream', registry(), '--proxy', mirror()];

      const shown = await dfget('setup', ...flags, '--dry-run');
      t.match(shown, /^\+.*127\.0\.0\.1/m, 'a dry run shows the change');
      t.same(await filesBelow(root), original, 'and makes none');
      t.match(await dfget('setup', ...flags), /wrote|changed/);
      const written = await filesBelow(root);
      t.match(JSON.parse(await dfget('setup', ...flags, '--json')), { files: [] }, 'twice is once');
      t.same(await filesBelow(root), written);

      const sent = await mirrored();
      const digest = await pull({ root, folder, image: image() });
      t.match(digest, /^sha256:[0-9a-f]{64}$/);
      if (name !== 'containerd') t.equal(digest, stage.image.manifest.digest);
      const { config, layers } = stage.image;
      const blobBytes = [config, ...layers].reduce((sum, { size }) => sum + size, 0);
      t.equal((await mirrored()) - sent, blobBytes, 'every byte of every blob came from the mirror');

      await dfget('setup', name, '--root', root, '--undo');
      t.same(await filesBelow(root), original, 'undone, byte for byte');
    },
  );
}

for (const { name, how, programs, before, registry, image, pull } of cases) {
  // Without the mirror dockerd asks docker.io, which is not here.
  if (name === 'docker') continue;
  const skip = noRegistry || skipReason({ programs });
  t.test(
    `${name} (${how}) goes to the registry by itself when the mirror is not there`,
    { skip },
    async (t) => {
      const root = await stage.makeFolder(`${name}-${how}-alone-machine`.replaceAll(' ', '-'));
      const folder = await stage.makeFolder(`${name}-${how}-alone-data`.replaceAll(' ', '-'));
      await prepareMachine(name, root, before(folder));
      await dfget('setup', name, '--root', root, '--upstream', registry(), '--proxy', '127.0.0.1:1');
      const since = await stage.registry.counters();
      await pull({ root, folder, image: image() });
      const { bytes } = countersSince(since, await stage.registry.counters());
      t.ok(bytes >= stage.image.bytes, `the registry sent ${bytes} bytes`);
    },
  );
}

t.test(
  'without flags setup asks the daemon, and restarts the client only when told and needed',
  { skip: noRegistry },
  async (t) => {
    const folder = await stage.makeFolder('restart');
    const log = join(folder, 'systemctl.log');
    await writeFile(join(folder, 'systemctl'), `#!/bin/sh\necho "$@" >>${log}\n`, { mode: 0o755 });
    await writeFile(log, '');
    // The machine itself, but for what it keeps in /etc and /var/lib: that is gone with the command.
    const script = `set -e
      mount -t tmpfs none /etc; mount -t tmpfs none /var/lib; mkdir /etc/buildkit
      printf '# mine' >/etc/buildkit/buildkitd.toml
      dfget() { ${bin('dfget')} "$@" --socket ${socket()}; }
      dfget setup buildkit; cat ${log}; echo ---
      dfget setup buildkit --restart; cat ${log}; echo ---
      dfget setup buildkit --undo --restart; cat ${log}; echo ---
      cat /etc/buildkit/buildkitd.toml; ls /var/lib`;
    // Extra certificates lie in the /etc that is hidden.
    const env = { NODE_EXTRA_CA_CERTS: '', PATH: `${folder}:${process.env['PATH'] ?? ''}` };
    const { code, output } = await run('unshare', ['--mount', 'sh', '-c', script], { env });
    t.equal(code, 0, output);
    const [first = '', second = '', third = '', last = ''] = output.split('---\n');
    t.match(first, /changed .*\nthen, for buildkit to read it: systemctl restart buildkit\n$/);
    t.equal(second, 'buildkit: set up already\n', 'nothing changed, nothing is restarted');
    t.equal(third, 'changed /etc/buildkit/buildkitd.toml\nrestart buildkit\n');
    t.equal(last, '# mine');
    const wrong = await run(bin('dfget'), ['setup', 'buildkit', '--root', folder, '--restart', '--json']);
    t.match(wrong, { code: 2, stdout: /"code":"CONFIG_INVALID"/ });
    const refused = await run(bin('dfget'), [
      'setup',
      'docker',
      '--root',
      folder,
      '--upstream',
      'a.b',
      '--proxy',
      'x:1',
    ]);
    t.match(refused, { code: 1, output: /SETUP_REFUSED.*docker\.io only/ });
    t.match(await run(bin('dfget'), ['setup', 'lxc']), { code: 2, output: /containerd, docker, podman/ });
  },
);

t.test(
  'pause makes blobs come from the registry at once, resume makes them come from here again',
  { skip: noRegistry },
  async (t) => {
    const layer = stage.image.layers[0]?.digest ?? '';
    const admin = `http://${cluster.daemons[0]?.ready.admin ?? ''}`;
    /** Bytes that the registry sent for one read of a layer through the mirror. */
    const originBytes = async (): Promise<number> => {
      const since = await stage.registry.counters();
      const url = `${proxyUrl(cluster.daemons[0] as Cluster['daemons'][number])}/v2/${stage.repository}/blobs/${layer}?ns=${NAMESPACE}`;
      const answer = await fetch(url);
      const { length } = Buffer.from(await answer.arrayBuffer());
      t.ok(length > MIB, `the layer is whole: ${length} bytes`);
      return countersSince(since, await stage.registry.counters()).bytes;
    };
    await originBytes();
    t.equal(await originBytes(), 0, 'it is cached');
    t.match(await dfget('pause', '--this-node', '--socket', socket()), /paused: all \(this node\)/);
    t.ok((await originBytes()) > MIB, 'paused: the registry sends it');
    t.match(await (await fetch(`${admin}/readyz`)).json(), { notes: [/paused: pulls of all/] });
    t.match(await (await fetch(`${admin}/metrics`)).text(), /^damselfly_paused_upstreams 1$/m);
    t.match(await dfget('status', '--socket', socket()), /paused +all/);
    t.match(JSON.parse(await dfget('doctor', '--json', '--socket', socket())), {
      findings: [
        { check: 'daemon' },
        { check: 'pause', state: 'warning', cure: 'dfget resume --this-node all' },
      ],
    });

    await cluster.daemons[0]?.stop();
    await cluster.restartDaemon(0);
    t.ok((await originBytes()) > MIB, 'a daemon that starts again is still paused');
    const resume = ['resume', '--this-node', '--json', '--socket', socket()];
    const { stdout } = await run(bin('damselfly'), resume);
    t.same(JSON.parse(stdout), { paused: [], otherSwitch: [], scope: 'node', confirmed: true });
    t.equal(await originBytes(), 0, 'resumed: it comes from here');
    const wrong = await run(bin('damselfly'), ['pause', 'nope.test', '--socket', socket()]);
    t.match(wrong, { code: 1, output: /UPSTREAM_UNKNOWN.*registry\.test/ });
  },
);

t.test('doctor finds a cluster in order, and a daemon that is gone', { skip: noRegistry }, async (t) => {
  const doctor = async () => {
    const { code, stdout } = await run(bin('dfget'), ['doctor', '--json', '--socket', socket()]);
    const { findings, healthy } = JSON.parse(stdout) as {
      healthy: boolean;
      findings: { check: string; state: string; says: string }[];
    };
    t.equal(code, healthy ? 0 : 1);
    return findings;
  };
  const findings = await doctor();
  for (const check of ['daemon', 'mirror', `registry ${NAMESPACE}`, 'trackers of the cluster damselfly']) {
    t.match(
      findings.find((finding) => finding.check === check),
      { state: 'ok' },
      check,
    );
  }
  t.same(
    findings.filter(({ check }) => check === 'clock'),
    [],
  );
  await stage.registry.stop();
  t.match(
    (await doctor()).find(({ check }) => check === `registry ${NAMESPACE}`),
    { state: 'problem' },
  );
  await cluster.daemons[0]?.stop();
  t.match(
    (await doctor()).find(({ check }) => check === 'daemon'),
    { state: 'problem' },
  );
});

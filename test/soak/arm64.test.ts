import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { readManifest } from '../../scripts/packages/manifest.ts';
import { onPath, skipReason } from '../helpers/clients/client.ts';
import { buildImage } from '../helpers/our-image.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const QEMU = 'qemu-aarch64-static';
const LIBRARIES = '/usr/aarch64-linux-gnu/lib/libc.so.6';
const skip =
  skipReason({ programs: ['docker-registry', 'unshare', QEMU] }) ||
  (!existsSync(LIBRARIES) && 'not installed: libc6-arm64-cross, libstdc++6-arm64-cross');
const MIB = 1024 * 1024;
/** Every instruction is translated: what takes a second takes one or two dozen here. */
const PATIENCE_MS = 300_000;

interface Descriptor {
  readonly digest: string;
}

/** The root of an image's archive, in a folder. */
function unpackImage(archive: string, folder: string): string {
  const [layout, root] = [join(folder, 'layout'), join(folder, 'root')];
  for (const each of [layout, root]) mkdirSync(each);
  execFileSync('tar', ['-xf', archive, '-C', layout]);
  const blob = ({ digest }: Descriptor): string => join(layout, 'blobs', digest.replace(':', '/'));
  const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
  const { manifests } = read(join(layout, 'index.json')) as { manifests: [Descriptor] };
  const { config, layers } = read(blob(manifests[0])) as { config: Descriptor; layers: Descriptor[] };
  t.match(read(blob(config)), { architecture: 'arm64', os: 'linux' });
  for (const layer of layers) execFileSync('tar', ['-xzf', blob(layer), '-C', root]);
  return root;
}

t.test('the image for arm64 runs under qemu as an ordinary user, and pulls', { skip }, async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'damselfly-arm64-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const image = await buildImage(out, 'image-arm64');
  const root = unpackImage(image.file, out);
  copyFileSync(onPath(QEMU) ?? '', join(root, 'usr/bin/qemu'));
  /** Its own program, with a /proc and /dev; nothing there is of this machine's kind but qemu. */
  const arm = (name: string, ...words: readonly string[]) => ({
    command: 'unshare',
    args: [
      ...['--mount', 'sh', '-c'],
      'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec env -i PATH=/usr/sbin:/usr/bin HOME=/tmp chroot --userspec=65532:65532 "$0" "$@"',
      ...[root, '/usr/bin/qemu', '/usr/lib/damselfly/node', '--disable-warning=ExperimentalWarning'],
      ...[`/usr/lib/damselfly/lib/${name}.mjs`, ...words],
    ],
  });
  const told = arm('dfget', '--version');
  const { output, stdout } = await run(told.command, told.args, { timeoutMs: PATIENCE_MS });
  t.equal(stdout.trim(), readManifest().version, output);

  await using stage = await createStage('arm64', { image: { totalBytes: 4 * MIB, layers: 2 } });
  const { registry, repository } = stage;
  const free = '127.0.0.1:0';
  const up = await startChild<{ readonly parts: readonly { readonly process: string }[] }>({
    ...arm(
      'damselfly',
      ...['up', '--json', '--upstream', `${NAMESPACE}=http://${stage.upstream}`],
      ...['--data-dir', '/var/lib/damselfly', '--socket', '/tmp/up.sock'],
      ...['--proxy-listen', free, '--peer-listen', free, '--admin-listen', free],
      ...['--supernode-peer-listen', free, '--supernode-admin-listen', free],
      ...['--tracker-listen', free, '--tracker-http-listen', free, '--tracker-admin-listen', free],
    ),
    logFile: join(out, 'up.log'),
    ready: jsonReady('up'),
    deadlineMs: PATIENCE_MS,
  });
  t.teardown(() => up.stop());
  const before = await registry.counters();
  const pull = arm('dfget', 'pull', '--json', '--socket', '/tmp/up.sock', `${NAMESPACE}/${repository}:v1`);
  const pulled = await run(pull.command, pull.args, { timeoutMs: PATIENCE_MS });
  t.match(
    JSON.parse(pulled.stdout.trim().split('\n').at(-1) ?? '{}'),
    {
      ...{ event: 'done', digest: stage.image.manifest.digest },
    },
    pulled.output,
  );
  const { bytes } = countersSince(before, await registry.counters());
  t.comment(`the registry sent ${(bytes / stage.image.bytes).toFixed(2)} images`);
});

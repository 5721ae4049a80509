import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const skip = skipReason({ programs: ['docker-registry', 'busybox', 'unshare'] });
/** What the unpacking script uses; any machine has them. */
const TOOLS = ['sh', 'env', 'id', 'mkdir', 'mktemp', 'mv', 'rm', 'tail', 'tar', 'gzip', 'chmod'];

/** A machine with a shell and the C library, and without Node. */
function makeMachine(root: string): void {
  for (const folder of ['bin', 'proc', 'dev', 'tmp', 'var/lib', 'etc']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  copyFileSync(execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(), join(root, 'bin/busybox'));
  for (const tool of TOOLS) symlinkSync('busybox', join(root, 'bin', tool));
  const linked = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
  for (const [path] of linked.matchAll(/\/\S+/g)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(path, join(root, path));
  }
}

/** Runs a program there, with a /proc and /dev of its own. */
const inMachine = (root: string, args: readonly string[]): { command: string; args: string[] } => ({
  command: 'unshare',
  args: [
    ...['--mount', 'sh', '-c'],
    'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" /bin/env -i PATH=/bin HOME=/tmp "$@"',
    ...[root, ...args],
  ],
});

t.test('one file runs everything on a machine without Node, and pulls', { skip }, async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'damselfly-dist-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const main = join(ROOT, 'scripts', 'packages', 'main.ts');
  const { stdout } = await run(process.execPath, [main, '--out', out, '--only', 'linux-x64']);
  const machine = join(out, 'machine');
  makeMachine(machine);
  copyFileSync(join(process.cwd(), stdout.trim()), join(machine, 'bin', 'damselfly'));
  symlinkSync('damselfly', join(machine, 'bin', 'dfget'));

  const stage = await createStage('dist');
  t.teardown(() => stage[Symbol.asyncDispose]());
  const { image, registry, repository } = stage;
  const free = '127.0.0.1:0';
  const up = await startChild<{ readonly parts: readonly { readonly process: string }[] }>({
    ...inMachine(machine, [
      ...['damselfly', 'up', '--json', '--upstream', `${NAMESPACE}=http://${stage.upstream}`],
      ...['--data-dir', '/var/lib/damselfly', '--socket', '/tmp/up.sock'],
      ...['--proxy-listen', free, '--peer-listen', free, '--admin-listen', free],
      ...['--supernode-peer-listen', free, '--supernode-admin-listen', free],
      ...['--tracker-listen', free, '--tracker-http-listen', free, '--tracker-admin-listen', free],
    ]),
    logFile: join(out, 'up.log'),
    ready: jsonReady('up'),
  });
  t.teardown(() => up.stop());
  t.same(
    up.ready.parts.map((part) => part.process),
    ['tracker', 'supernode', 'daemon'],
  );
  const before = await registry.counters();
  const reference = `${NAMESPACE}/${repository}:${image.tag}`;
  const pull = inMachine(machine, ['dfget', 'pull', '--json', '--socket', '/tmp/up.sock', reference]);
  const pulled = await run(pull.command, pull.args);
  t.match(JSON.parse(pulled.stdout.trim().split('\n').at(-1) ?? ''), {
    event: 'done',
    digest: image.manifest.digest,
  });
  const { bytes } = countersSince(before, await registry.counters());
  t.ok(bytes < image.bytes * 1.01, `the registry sent it once (${bytes} bytes)`);
  await up.kill('SIGTERM');
  t.equal(up.exitCode, 0, 'SIGTERM ends it');
});

import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { inBareMachine, makeBareMachine } from '../helpers/bare-machine.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PROGRAMS = ['docker-registry', 'busybox', 'unshare'];
/** How long a first command may take: it unpacks the program, and another machine's instructions are interpreted. */
const TARGETS = [
  { target: 'linux-x64', skip: skipReason({ programs: PROGRAMS }), deadlineMs: 60_000 },
  {
    target: 'linux-arm64',
    skip: skipReason({ programs: [...PROGRAMS, 'qemu-aarch64-static'] }),
    deadlineMs: 300_000,
  },
] as const;

for (const { deadlineMs, skip, target } of TARGETS) {
  t.test(`one file runs everything on a machine without Node, and pulls: ${target}`, { skip }, async (t) => {
    const out = mkdtempSync(join(tmpdir(), 'damselfly-dist-'));
    t.teardown(() => rmSync(out, { recursive: true, force: true }));
    const main = join(ROOT, 'scripts', 'packages', 'main.ts');
    const { stdout } = await run(process.execPath, [main, '--out', out, '--only', target]);
    const machine = join(out, 'machine');
    makeBareMachine(machine, target);
    copyFileSync(join(process.cwd(), stdout.trim()), join(machine, 'bin', 'damselfly'));
    symlinkSync('damselfly', join(machine, 'bin', 'dfget'));

    const stage = await createStage('dist');
    t.teardown(() => stage[Symbol.asyncDispose]());
    const { image, registry, repository } = stage;
    const free = '127.0.0.1:0';
    const up = await startChild<{ readonly parts: readonly { readonly process: string }[] }>({
      ...inBareMachine(machine, target, [
        ...['damselfly', 'up', '--json', '--upstream', `${NAMESPACE}=http://${stage.upstream}`],
        ...['--data-dir', '/var/lib/damselfly', '--socket', '/tmp/up.sock'],
        ...['--proxy-listen', free, '--peer-listen', free, '--admin-listen', free],
        ...['--supernode-peer-listen', free, '--supernode-admin-listen', free],
        ...['--tracker-listen', free, '--tracker-http-listen', free, '--tracker-admin-listen', free],
      ]),
      logFile: join(out, 'up.log'),
      deadlineMs,
      ready: jsonReady('up'),
    });
    t.teardown(() => up.stop());
    t.same(
      up.ready.parts.map((part) => part.process),
      ['tracker', 'supernode', 'daemon'],
    );
    const before = await registry.counters();
    const reference = `${NAMESPACE}/${repository}:${image.tag}`;
    const pull = inBareMachine(machine, target, [
      ...['dfget', 'pull', '--json', '--socket', '/tmp/up.sock', reference],
    ]);
    const pulled = await run(pull.command, pull.args, { timeoutMs: deadlineMs });
    t.match(JSON.parse(pulled.stdout.trim().split('\n').at(-1) ?? ''), {
      event: 'done',
      digest: image.manifest.digest,
    });
    const { bytes } = countersSince(before, await registry.counters());
    t.ok(bytes < image.bytes * 1.01, `the registry sent it once (${bytes} bytes)`);
    await up.kill('SIGTERM');
    t.equal(up.exitCode, 0, 'SIGTERM ends it');
  });
}

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { readManifest } from '../../scripts/packages/manifest.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { containersStorage } from '../helpers/clients/containers-image.ts';
import { unmountBelow } from '../helpers/clients/unmount.ts';
import { buildImage, LEAST_RIGHTS } from '../helpers/our-image.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const skip = skipReason({ programs: ['docker-registry', 'podman', 'runc'] });

/** Files that may be executed, below a folder. */
function programsIn(folder: string, at = ''): string[] {
  return readdirSync(join(folder, at), { withFileTypes: true }).flatMap((entry) => {
    const path = join(at, entry.name);
    if (entry.isDirectory()) return programsIn(folder, path);
    return entry.isFile() && (statSync(join(folder, path)).mode & 0o111) !== 0 ? [path] : [];
  });
}

t.test(
  'the container image holds no other program, and runs everything as an ordinary user',
  { skip },
  async (t) => {
    const out = mkdtempSync(join(tmpdir(), 'damselfly-image-'));
    mkdirSync(join(out, 'podman'));
    t.teardown(async () => {
      await unmountBelow(out);
      rmSync(out, { recursive: true, force: true });
    });
    const env = await containersStorage(join(out, 'podman'));
    const podman = async (...args: string[]): Promise<string> => {
      const { code, output, stdout } = await run('podman', args, { env });
      t.equal(code, 0, `podman ${args.join(' ')}\n${output}`);
      return stdout.trim();
    };
    const image = await buildImage(out);
    await podman('load', '--quiet', '--input', image.file);
    const again = await buildImage(join(out, 'again'));
    t.ok(
      readFileSync(image.file).equals(readFileSync(again.file)),
      'made again it is the same, byte for byte',
    );

    const mounted = await podman('image', 'mount', image.name);
    t.same(
      programsIn(mounted).filter((path) => !path.includes('/node_modules/')),
      ['lib64/ld-linux-x86-64.so.2', 'usr/bin/damselfly', 'usr/bin/dfget', 'usr/lib/damselfly/node'],
    );
    await podman('image', 'unmount', image.name);

    const limited = ['run', '--rm', '--network', 'host', ...LEAST_RIGHTS];
    t.equal(await podman(...limited, image.name, 'dfget', '--version'), readManifest().version);

    const stage = await createStage('image');
    t.teardown(() => stage[Symbol.asyncDispose]());
    const { registry, repository } = stage;
    const free = '127.0.0.1:0';
    const up = await startChild<{
      readonly pid: number;
      readonly parts: readonly { readonly process: string }[];
    }>({
      command: 'podman',
      args: [
        ...[...limited, '--name', 'up', '--volume', 'data:/var/lib/damselfly', image.name],
        ...['damselfly', 'up', '--json', '--upstream', `${NAMESPACE}=http://${stage.upstream}`],
        ...[
          '--proxy-listen',
          free,
          '--peer-listen',
          free,
          '--admin-listen',
          free,
          '--socket',
          '/tmp/up.sock',
        ],
        ...['--supernode-peer-listen', free, '--supernode-admin-listen', free],
        ...['--tracker-listen', free, '--tracker-http-listen', free, '--tracker-admin-listen', free],
      ],
      env,
      logFile: join(out, 'up.log'),
      ready: jsonReady('up'),
    });
    t.teardown(() => up.stop());
    t.same(
      up.ready.parts.map((part) => part.process),
      ['tracker', 'supernode', 'daemon'],
    );
    const pid = await podman('inspect', '--format', '{{.State.Pid}}', 'up');
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    t.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m, 'it is no root');
    t.match(status, /^CapEff:\t0+$/m, 'and has no capability');

    const before = await registry.counters();
    const reference = `${NAMESPACE}/${repository}:${stage.image.tag}`;
    const pulled = await podman(
      'exec',
      'up',
      'dfget',
      'pull',
      '--json',
      '--socket',
      '/tmp/up.sock',
      reference,
    );
    t.match(JSON.parse(pulled.split('\n').at(-1) ?? ''), {
      event: 'done',
      digest: stage.image.manifest.digest,
    });
    const { bytes } = countersSince(before, await registry.counters());
    t.ok(bytes < stage.image.bytes * 1.01, `the registry sent it once (${bytes} bytes)`);
    await up.kill('SIGTERM');
    t.equal(up.exitCode, 0, 'SIGTERM ends it');
  },
);

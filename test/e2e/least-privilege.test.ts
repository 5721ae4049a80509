import { spawnSync } from 'node:child_process';
import { chownSync, globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, startChild } from '../../bench/fixtures/child.ts';
import type { DaemonReady } from '../../bench/fixtures/cluster.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';
import { ask } from '../registry-proxy/fixture.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const UNITS = join(ROOT, 'deploy', 'systemd');
/** "nobody" and "nogroup" of Debian. */
const NOBODY = 65_534;
/** Of systemd's own scale, on which 10 is no protection at all. */
const MOST_EXPOSED = 2;

const noSystemd = skipReason({ programs: ['systemd-analyze'] });

t.test(
  'the units are valid, and leave little of the machine to their processes',
  { skip: noSystemd },
  async (t) => {
    const folder = t.testdir();
    for (const file of globSync('*', { cwd: UNITS }).sort()) {
      const path = join(folder, file);
      // Programs lie elsewhere here, and there need not be such a user.
      const text = readFileSync(join(UNITS, file), 'utf8')
        .replaceAll('/usr/bin/d', `${join(ROOT, 'bin')}/d`)
        .replace('User=damselfly', 'User=daemon');
      writeFileSync(path, text);
    }
    for (const file of globSync('*', { cwd: folder }).sort()) {
      const verified = spawnSync('systemd-analyze', ['verify', join(folder, file)], { encoding: 'utf8' });
      t.notMatch(verified.stderr, new RegExp(`${file}[:;]`), `${file}: ${verified.stderr}`);
      if (!file.endsWith('.service')) continue;
      const args = [
        'security',
        '--offline=true',
        `--threshold=${MOST_EXPOSED * 10}`,
        '--no-pager',
        join(folder, file),
      ];
      const judged = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
      t.equal(judged.status, 0, `${file}: ${judged.stdout.trim().split('\n').at(-1)} ${judged.stderr}`);
    }
  },
);

/** Whether an ordinary user can read the sources and run Node at all. */
function nobodyReads(): boolean {
  const { status } = spawnSync(process.execPath, [join(ROOT, 'bin', 'dfget'), '--version'], {
    uid: NOBODY,
    gid: NOBODY,
    cwd: '/',
  });
  return status === 0;
}

const skip =
  process.getuid?.() !== 0
    ? 'only root can become somebody else'
    : skipReason({ programs: ['docker-registry', 'setpriv'] }) ||
      (nobodyReads() ? false : 'nobody may not read the sources here');

t.test('a daemon of an ordinary user, without one capability, serves a pull', { skip }, async (t) => {
  await using stage = await createStage('least-privilege', { image: { totalBytes: 2 ** 20, layers: 1 } });
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-nobody-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  chownSync(folder, NOBODY, NOBODY);
  const become = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', '--no-new-privs'];
  const daemon = await startChild<DaemonReady>({
    command: 'setpriv',
    args: [
      ...[
        ...become,
        '--inh-caps=-all',
        '--bounding-set=-all',
        process.execPath,
        join(ROOT, 'bin', 'dfget'),
        'daemon',
      ],
      ...['--json', '--insecure', '--upstream', `${NAMESPACE}=http://${stage.upstream}`],
      ...['--data-dir', join(folder, 'data'), '--socket', join(folder, 'socket')],
      ...['--proxy-listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
    ],
    logFile: join(stage.folder, 'nobody.log'),
    ready: jsonReady('daemon'),
  });
  t.teardown(() => daemon.kill('SIGKILL'));
  const status = readFileSync(`/proc/${daemon.ready.pid}/status`, 'utf8');
  t.match(status, new RegExp(`^Uid:\\s+${NOBODY}\\s`, 'm'));
  t.match(status, /^CapEff:\s+0+$/m);
  t.match(status, /^NoNewPrivs:\s+1$/m);
  const [layer] = stage.image.layers;
  const port = Number(daemon.ready.proxy[0]?.address.split(':').at(-1));
  const answer = await ask(port, `/v2/${stage.repository}/blobs/${layer?.digest}?ns=${NAMESPACE}`);
  t.equal(answer.status, 200);
  t.equal(answer.body.length, layer?.size);
  t.equal(statSync(join(folder, 'socket')).mode & 0o777, 0o600, 'its socket is for its owner alone');
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** The Node of the system, not the one that npm scripts put in front. */
const PATH = (process.env['PATH'] ?? '')
  .split(':')
  .filter((folder) => !folder.includes('node_modules'))
  .join(':');

t.test('the package, installed in an empty folder, runs on the Node of the system', async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'damselfly-npm-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const main = join(ROOT, 'scripts', 'packages', 'main.ts');
  const { stdout } = await run(process.execPath, [main, '--out', out, '--only', 'npm']);
  const tarball = join(process.cwd(), stdout.trim());
  const folder = join(out, 'installed');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{"private": true}');
  const env = { ...process.env, PATH };
  execFileSync('npm', ['install', '--no-audit', '--no-fund', tarball], { cwd: folder, env, stdio: 'ignore' });
  const bin = (name: string): string => join(folder, 'node_modules', '.bin', name);
  const system = execFileSync('node', ['--version'], { env, encoding: 'utf8' });
  t.comment(`system Node ${system.trim()}`);
  const { version } = JSON.parse(
    execFileSync('npm', ['pkg', 'get', 'version', 'name'], { cwd: ROOT, env, encoding: 'utf8' }),
  ) as { version: string };
  t.equal(execFileSync(bin('dfget'), ['--version'], { env, encoding: 'utf8' }).trim(), version);
  t.throws(
    () => execFileSync(bin('dfget'), ['nonsense'], { env, stdio: 'ignore' }),
    'exit codes come through',
  );

  const free = '127.0.0.1:0';
  const up = await startChild<{ readonly parts: readonly { readonly process: string }[] }>({
    command: bin('damselfly'),
    args: [
      ...['up', '--json', '--upstream', 'registry.test=http://127.0.0.1:1'],
      ...['--data-dir', join(out, 'up'), '--socket', join(out, 'up.sock')],
      ...['--proxy-listen', free, '--peer-listen', free, '--admin-listen', free],
      ...['--supernode-peer-listen', free, '--supernode-admin-listen', free],
      ...['--tracker-listen', free, '--tracker-http-listen', free, '--tracker-admin-listen', free],
    ],
    env: { PATH },
    logFile: join(out, 'up.log'),
    ready: jsonReady('up'),
  });
  t.teardown(() => up.stop());
  t.equal(up.ready.parts.length, 3);
  const status = await run(bin('dfget'), ['status', '--json', '--socket', join(out, 'up.sock')]);
  t.match(JSON.parse(status.stdout), { tracker: { reachable: true } });
  await up.kill('SIGTERM');
  t.equal(up.exitCode, 0, 'signals reach it, and its exit code comes back');
});

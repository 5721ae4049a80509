import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { borrowMachine } from '../helpers/borrowed-machine.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { isInstalled } from '../helpers/docker-registry.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const skip = isInstalled('dpkg-deb') ? false : 'no dpkg-deb';

t.test('the Debian package has what it says, and its program runs from there', { skip }, async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'damselfly-deb-'));
  t.teardown(() => rmSync(out, { recursive: true, force: true }));
  const main = join(ROOT, 'scripts', 'packages', 'main.ts');
  const { stdout } = await run(process.execPath, [main, '--out', out, '--only', 'deb-amd64']);
  const file = join(process.cwd(), stdout.trim());
  const fields = execFileSync('dpkg-deb', ['--field', file], { encoding: 'utf8' });
  t.match(fields, /^Package: damselfly$/m);
  t.match(fields, /^Architecture: amd64$/m);
  const listed = execFileSync('dpkg-deb', ['--contents', file], { encoding: 'utf8' });
  t.notMatch(listed, /^\S+ (?!root\/root)/m, 'all of it is of root');
  t.match(listed, / \.\/usr\/bin\/damselfly$/m);
  const root = join(out, 'root');
  execFileSync('dpkg-deb', ['--extract', file, root]);
  const lib = join(root, 'usr/lib/damselfly');
  const told = await run(join(lib, 'node'), [join(lib, 'lib/dfget.mjs'), '--version']);
  t.match(fields, new RegExp(`^Version: ${told.stdout.trim().replaceAll('.', '\\.')}$`, 'm'));
});

const needs = skipReason({ programs: ['dpkg', 'unshare', 'nsenter', 'containerd'] });
t.test('installed it runs, and removed it leaves clients as they were', { skip: needs }, async (t) => {
  const out = mkdtempSync(join(tmpdir(), 'damselfly-deb-'));
  const main = join(ROOT, 'scripts', 'packages', 'main.ts');
  const made = await run(process.execPath, [main, '--out', join(out, 'dist'), '--only', 'deb-amd64']);
  const machine = await borrowMachine(out, [join(out, 'dist')]);
  t.teardown(async () => {
    await machine.stop();
    rmSync(out, { recursive: true, force: true });
  });
  const files = async (): Promise<string> =>
    (await machine.run('find', '/etc/containerd', '-type', 'f', '-exec', 'sha256sum', '{}', '+')).stdout;
  const before = await files();
  const installed = await machine.run('dpkg', '--install', join(process.cwd(), made.stdout.trim()));
  t.equal(installed.code, 0, installed.output);
  t.equal((await machine.run('getent', 'passwd', 'damselfly')).code, 0);
  const mirror = ['--upstream', 'registry.test', '--proxy', '127.0.0.1:65001'];
  const setup = await machine.run('dfget', 'setup', 'containerd', ...mirror);
  t.equal(setup.code, 0, setup.output);
  t.not(await files(), before, 'containerd asks the mirror');
  const removed = await machine.run('dpkg', '--remove', 'damselfly');
  t.equal(removed.code, 0, removed.output);
  t.equal(await files(), before, 'and does not any more');
  t.equal((await machine.run('test', '-e', '/usr/bin/dfget')).code, 1);
});

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
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

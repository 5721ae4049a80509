import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { unifiedDiff } from '../../dfget/setup/unified-diff.ts';
import { isInstalled } from '../helpers/docker-registry.ts';

t.equal(unifiedDiff('/f', 'a\n', 'a\n'), '', 'nothing to show');
t.equal(
  unifiedDiff('/f', 'a\nb\nc\nd\ne\nf\n', 'a\nb\nc\nd\nX\ne\nf'),
  [
    '--- /f',
    '+++ /f',
    '@@ -2,5 +2,6 @@',
    ' b',
    ' c',
    ' d',
    '+X',
    ' e',
    '-f',
    '+f',
    '\\ No newline at end of file',
    '',
  ].join('\n'),
);
t.equal(unifiedDiff('/f', undefined, 'a\n'), '--- /dev/null\n+++ /f\n@@ -0,0 +1,1 @@\n+a\n');

t.test(
  'patch makes of the old text the new one',
  { skip: isInstalled('patch') ? false : 'no patch' },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'damselfly-diff-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'file');
    const line = fc.constantFrom('a', 'b', 'c', '', '[x]', 'long line');
    const text = fc
      .tuple(fc.array(line, { minLength: 1, maxLength: 30 }), fc.boolean())
      .map(([lines, open]) => {
        const joined = lines.join('\n');
        return open && !joined.endsWith('\n') && joined !== '' ? joined : `${joined}\n`;
      });
    fc.assert(
      fc.property(text, text, (before, after) => {
        writeFileSync(file, before);
        const input = unifiedDiff('file', before, after);
        if (input !== '') execFileSync('patch', ['--silent', '--fuzz=0', file], { input });
        return readFileSync(file, 'utf8') === after;
      }),
      { seed: 5, numRuns: 60 },
    );
  },
);

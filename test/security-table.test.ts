import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

// SECURITY.md says which test tries which threat. What it says must be there.

const ROOT = join(import.meta.dirname, '..');
const text = readFileSync(join(ROOT, 'SECURITY.md'), 'utf8');
const table = text.slice(text.indexOf('## Threats, and the tests that try them'));
const rows = table
  .split('\n')
  .filter((line) => /^\| (?!threat \||---)/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, threat = '', tests = '']) => ({ threat, tests: tests.split(', ') }));
/** The cases of attack and bad input that the conformance suite counts. */
const [FIRST_CASE, LAST_CASE] = [40, 64];

t.test('every threat names tests, and each of them exists', async (t) => {
  t.ok(rows.length >= 30, `${rows.length} threats`);
  for (const { tests, threat } of rows) {
    for (const name of tests) {
      t.match(name, /^test\/[\w/-]+\.test\.ts$/, threat);
      t.ok(existsSync(join(ROOT, name)), `${threat}: ${name}`);
    }
  }
});

t.test('every case of attack has a row', async (t) => {
  const covered = new Set(rows.flatMap(({ threat }) => casesIn(threat)));
  const all = Array.from({ length: LAST_CASE - FIRST_CASE + 1 }, (_, at) => FIRST_CASE + at);
  t.same(
    all.filter((number) => !covered.has(number)),
    [],
  );
});

/** `... (33–39, 42)` */
function casesIn(threat: string): number[] {
  const [, list = ''] = /\(([\d–, ]+)\)$/.exec(threat) ?? [];
  return list
    .split(', ')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [from = 0, to = from] = part.split('–').map(Number);
      return Array.from({ length: to - from + 1 }, (_, at) => from + at);
    });
}

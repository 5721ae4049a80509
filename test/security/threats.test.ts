import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const ROOT = join(import.meta.dirname, '..', '..');
/** Cases of protocols that somebody may mean no good by. */
const HOSTILE = { first: 33, last: 64 };

const rows = readFileSync(join(ROOT, 'SECURITY.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\|.*\btest\/.*\|$/.test(line));

t.test('every threat names tests that are there', async (t) => {
  t.ok(rows.length > 20, `${rows.length} threats`);
  for (const row of rows) {
    const [, threat = '', tests = ''] = row.split('|').map((cell) => cell.trim());
    for (const file of tests.split(', ')) {
      t.ok(/^test\/.+\.test\.ts$/.test(file) && existsSync(join(ROOT, file)), `${threat}: ${file}`);
    }
  }
});

t.test('every hostile case is a threat in the table', async (t) => {
  const told = new Set<number>();
  for (const row of rows) {
    for (const [, numbers = ''] of row.matchAll(/\(([\d–, ]+)\)/g)) {
      for (const span of numbers.split(', ')) {
        const [first = Number.NaN, last = first] = span.split('–').map(Number);
        for (let number = first; number <= last; number++) told.add(number);
      }
    }
  }
  const all = Array.from({ length: HOSTILE.last - HOSTILE.first + 1 }, (_, index) => HOSTILE.first + index);
  t.same(
    all.filter((number) => !told.has(number)),
    [],
  );
});

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

/** The cases that concern what a client sees of the proxy, a peer of the swarm, Harbor, and a user of dfget's files. */
const SURFACE = [...span(1, 20), ...span(33, 77)];
const TESTS = join(import.meta.dirname, '..');

function span(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

t.test('every case of the surface has a test that is named by its number', async (t) => {
  const found = new Set<number>();
  for (const file of globSync('**/*.ts', { cwd: TESTS })) {
    const text = readFileSync(join(TESTS, file), 'utf8');
    for (const [, number] of text.matchAll(/(?:\bnumber: |['`]case )(\d+)\b/g)) found.add(Number(number));
  }
  t.same(
    SURFACE.filter((number) => !found.has(number)),
    [],
  );
});

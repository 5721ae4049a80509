import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = ['lib', 'registry-proxy', 'dfget', 'supernode', 'tracker', 'damselfly', 'bench'];
const MAX_LINES = 400;

/** Who may import whom: each part only parts on lower floors (docs/ARCHITECTURE.md). */
const FLOORS: Readonly<Record<string, number>> = {
  'lib/core': 0,
  // Log, metrics, clock and randomness: handed to everything above.
  'lib/observe': 1,
  'lib/runtime': 1,
  'lib/wire': 2,
  'lib/store': 2,
  'lib/oci': 2,
  'lib/config': 2,
  'lib/objects': 2,
  'lib/security': 2,
  'lib/swarm': 3,
  'lib/origin': 3,
  'lib/discovery': 3,
  'lib/command': 3,
  'registry-proxy': 4,
  'lib/transfer': 4,
  dfget: 5,
  supernode: 5,
  tracker: 5,
  // The command that starts any of them, or all in one process.
  damselfly: 6,
  bench: 7,
};

/** The simulator stands for thousands of nodes: it runs decisions and nothing that touches the outside. */
const SIMULATOR_MAY_IMPORT = ['lib/core', 'lib/wire', 'lib/swarm', 'lib/runtime', 'lib/config', 'bench'];

interface Import {
  /** `file:line` */
  readonly at: string;
  /** Path of the importing and the imported file, from the root. */
  readonly from: string;
  readonly to: string;
}

const files = (folders: readonly string[]): string[] =>
  folders.flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: ROOT })).sort();

const partOf = (file: string): string =>
  file
    .split('/')
    .slice(0, file.startsWith('lib/') ? 2 : 1)
    .join('/');

function importsOf(from: string, text: string): Import[] {
  // `import … from '…'`, `export … from '…'`, `import '…'` and `import('…')`, over several lines or not.
  const pattern = /\b(?:from\s*|import\s*\(?\s*)(['"])(\.{1,2}\/[^'"]+)\1/g;
  return [...text.matchAll(pattern)].map((match) => ({
    at: `${from}:${text.slice(0, match.index).split('\n').length}`,
    from,
    to: relative(ROOT, join(ROOT, dirname(from), match[2] ?? '')),
  }));
}

/** What is wrong with an import, or undefined. */
function wrongWith({ at, from, to }: Import): string | undefined {
  const [importer, imported] = [partOf(from), partOf(to)];
  if (from.startsWith('bench/simulate/') && !SIMULATOR_MAY_IMPORT.includes(imported)) {
    return `${at}: the simulator imports ${to}`;
  }
  if (importer === imported) return undefined;
  const [floor, below] = [FLOORS[importer], FLOORS[imported]];
  if (floor === undefined) return `${at}: ${importer} stands on no floor`;
  if (below === undefined) return `${at}: ${imported} stands on no floor`;
  return below < floor ? undefined : `${at}: ${importer} (floor ${floor}) imports ${to} (floor ${below})`;
}

t.test('every part imports only from lower floors', async (t) => {
  const imports = files(SOURCES).flatMap((file) => importsOf(file, readFileSync(join(ROOT, file), 'utf8')));
  t.ok(imports.length > 0, 'imports were found');
  t.same(
    imports.map(wrongWith).filter((wrong) => wrong !== undefined),
    [],
  );
});

t.test('the floors catch what they are for', async (t) => {
  const wrong = (from: string, line: string): string | undefined => importsOf(from, line).map(wrongWith)[0];
  t.equal(
    wrong('lib/core/a.ts', "\nimport { b } from '../store/b.ts';"),
    'lib/core/a.ts:2: lib/core (floor 0) imports lib/store/b.ts (floor 2)',
  );
  t.match(wrong('lib/swarm/a.ts', "import {\n  b,\n} from '../origin/b.ts';"), 'lib/swarm (floor 3) imports');
  t.match(wrong('tracker/a.ts', "export { b } from '../supernode/b.ts';"), 'tracker (floor 5) imports');
  t.match(
    wrong('lib/store/disk/a.ts', "const b = await import('../../wire/b.ts');"),
    'lib/store (floor 2) imports',
  );
  t.match(
    wrong('bench/simulate/a.ts', "import '../../lib/store/b.ts';"),
    'the simulator imports lib/store/b.ts',
  );
  t.equal(wrong('lib/store/disk/a.ts', "import { b } from '../../core/b.ts';"), undefined);
});

t.test(`no file is longer than ${MAX_LINES} lines`, async (t) => {
  const long = files([...SOURCES, 'test', 'scripts']).filter(
    (file) => readFileSync(join(ROOT, file), 'utf8').split('\n').length - 1 > MAX_LINES,
  );
  t.same(long, []);
});

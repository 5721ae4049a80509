import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { run } from '../fixtures/child.ts';
import { exitCodeOf, interruptSignal } from '../fixtures/command-line.ts';
import type { Figure } from '../micro/row.ts';
import { writeText } from '../report/text-file.ts';
import { type SimulatedPull, type SizingFigures, sizingPage } from './page.ts';

const HELP = `Writes docs/benchmarks/sizing.md: how many supernodes and trackers a cluster needs, and how long a pull takes, from the
simulator and the micro benches. Some ten minutes on a machine that does nothing else.

  npm run bench:sizing
  npm run bench:sizing -- --quick    one small cluster only, to standard output

Exit code 0: all was measured; 1: something was not; 2: wrong usage.
`;

const BENCH = join(import.meta.dirname, '..');
const PAGE = join(BENCH, '..', 'docs', 'benchmarks', 'sizing.md');
const CLUSTERS: readonly (readonly [number, string])[] = [
  [100, '1GiB'],
  [1000, '1GiB'],
  [1000, '4GiB'],
];
const RATES = ['1Gbit/s', '10Gbit/s'];
const SUPERNODES = [1, 2, 4];
const TIMEOUT_MS = 20 * 60_000;

const signal = interruptSignal();

async function json<T>(script: string, ...args: readonly string[]): Promise<T> {
  const words = ['--max-semi-space-size=2', join(BENCH, script), ...args, '--json'];
  const { code, output, stdout } = await run(process.execPath, words, { signal, timeoutMs: TIMEOUT_MS });
  signal.throwIfAborted();
  if (code !== 0) throw new Error(`${script} ${args.join(' ')}: ${output.trim()}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T;
}

async function simulate(
  nodes: number,
  image: string,
  rate: string,
  supernodes: number,
): Promise<SimulatedPull> {
  const flags = ['--nodes', String(nodes), '--blob-bytes', image, '--node-rate', rate];
  flags.push('--seeds', String(supernodes), '--seed-rate', rate);
  process.stderr.write(`${flags.join(' ')}\n`);
  const { seconds, originRatio } = await json<Pick<SimulatedPull, 'seconds' | 'originRatio'>>(
    'simulate/main.ts',
    ...flags,
  );
  return { nodes, image, rate, supernodes, seconds, originRatio };
}

/** What the rows of the micro benches found out. */
async function measure(...rows: string[]): Promise<Figure[]> {
  process.stderr.write(`${rows.join(', ')}\n`);
  const flags = rows.flatMap((row) => ['--row', row]);
  return (await json<{ rows: Figure[] }>('micro/main.ts', ...flags, '--runs', '1')).rows;
}

try {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  });
  if (values.help) process.stdout.write(HELP);
  else {
    const tracker = await json<SizingFigures['tracker']>('micro/tracker-costs.ts');
    const figures = await measure('tracker-nodes', 'piece-cpu-vs-raw-tls', 'rss-mib');
    const pulls: SimulatedPull[] = [];
    for (const [nodes, image] of values.quick ? CLUSTERS.slice(0, 1) : CLUSTERS) {
      for (const rate of RATES) {
        for (const supernodes of SUPERNODES) pulls.push(await simulate(nodes, image, rate, supernodes));
      }
    }
    const page = await sizingPage({ pulls, tracker, figures });
    if (values.quick) process.stdout.write(page);
    else await writeText(createNodeDisk(), PAGE, page);
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = exitCodeOf(error, signal);
}

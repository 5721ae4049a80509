import { markdownTable } from '../../bench/fixtures/markdown-table.ts';
import { quantile, round } from '../../bench/fixtures/table.ts';
import type { Machine } from '../../bench/report/machine.ts';
import { formatBytes } from '../../lib/config/units.ts';
import type { Fault } from './fault.ts';
import type { ChaosResult } from './result.ts';
import type { SuiteSize } from './sizes.ts';

/** One run, and where it was made. */
export interface RecordedRun extends ChaosResult {
  readonly machine: Machine;
}

/** Everything that the page and its JSON are made of. */
export interface ChaosRecord {
  readonly size: SuiteSize;
  readonly results: readonly RecordedRun[];
}

/** One fault over all of its seeds. */
interface Row {
  readonly fault: Fault;
  readonly runs: readonly RecordedRun[];
  /** Median of the pairs. */
  readonly makespanRatio: number | undefined;
  readonly registryRatio: number;
}

export function chaosPage(record: ChaosRecord, faults: readonly Fault[]): string {
  const { size } = record;
  const machines = [...new Set(record.results.map(describe))];
  const rows = rowsOf(record.results, faults);
  const held = rows.filter(({ runs }) => runs.every(isGood)).length;
  const missing = faults.filter(({ name }) => !rows.some(({ fault }) => fault.name === name));
  const { nodes, containerdNodes, supernodes, trackers, linkBytesPerSecond } = size.world;
  return `${[
    '# Faults on real processes: measured runs',
    'Written by `npm run test:chaos -- --record`, which keeps what was recorded before and is not run again; `make soak` runs everything. Every run is a fresh cluster of real processes with a real docker-registry, each machine in its own network namespace; while all nodes pull one image, something breaks. `npm run test:chaos -- --fault NAME --seed N` repeats one.',
    machines.length === 1
      ? `Run on ${machines[0]}.`
      : `Run on:\n\n${machines.map((machine, at) => `${at + 1}. ${machine}`).join('\n')}`,
    `${nodes} nodes, ${supernodes} supernodes, ${trackers} trackers, links of ${(linkBytesPerSecond * 8) / 1e6} Mbit/s, an image of ${formatBytes(size.imageBytes)} in ${size.layers} layers; containerd pulls on ${containerdNodes} nodes, elsewhere a plain client that resumes nothing and compares every byte.`,
    `**${held} of ${rows.length} faults held with every seed that was run${missing.length === 0 ? '' : `; ${missing.length} were not run`}.**`,
    markdownTable(
      [
        'fault',
        'what breaks',
        'seeds',
        'failed pulls',
        'makespan / calm',
        'target',
        'registry',
        'target',
        'held',
        'commit',
      ],
      rows.map((row) => cells(row, machines)),
    ),
    ...rows.flatMap(({ fault, runs }) =>
      runs
        .filter((run) => !isGood(run))
        .map(({ broken, seed }) => `- \`${fault.name}\`, seed ${seed}: ${broken.join('; ')}`),
    ),
    ...missing.map(({ name }) => `- \`${name}\` was not run`),
    HOW_TO_READ,
  ].join('\n\n')}\n`;
}

const HOW_TO_READ = `## How to read it

- All processes have identities: mutual TLS on every connection, capabilities for every blob. Images are for everybody unless the row says otherwise.
- Ratios are medians over the seeds; each is of the slowest pull that counts, over the same in a calm pull of the same cluster just before; where there is no target there was none. Nodes that are killed do not count, nodes that the fault itself slows down count as pulls but not for the makespan.
- The registry's ratio is what left the registry during the struck pull, over the size of the image, counted in a relay before it.
- A run has held when every pull that had to has succeeded, no client ever got a wrong byte, both ratios are within their targets, no process ended by itself, none holds more files or memory than before once it is idle, and nothing is left when all have been told to end.`;

function rowsOf(results: readonly RecordedRun[], faults: readonly Fault[]): Row[] {
  return faults.flatMap((fault) => {
    const runs = results.filter((result) => result.fault === fault.name);
    if (runs.length === 0) return [];
    const makespans = runs.flatMap(({ makespanRatio }) => (makespanRatio === null ? [] : [makespanRatio]));
    const makespanRatio = makespans.length === 0 ? undefined : quantile(makespans, 0.5);
    return [
      {
        fault,
        runs,
        makespanRatio,
        registryRatio: quantile(
          runs.map((run) => run.registryRatio),
          0.5,
        ),
      },
    ];
  });
}

/** @param machines those of all runs; with several of them each run says on which */
function cells({ fault, makespanRatio, registryRatio, runs }: Row, machines: readonly string[]): string[] {
  const { limits } = fault;
  const where = (run: RecordedRun): string =>
    machines.length === 1 ? '' : ` on ${machines.indexOf(describe(run)) + 1}`;
  const failed = runs.reduce((sum, run) => sum + run.failedPulls, 0);
  return [
    `\`${fault.name}\``,
    fault.what,
    runs.map(({ secure, seed }) => `${seed}${secure ? '' : ' (insecure)'}`).join(', '),
    String(failed),
    makespanRatio === undefined ? '' : `${round(makespanRatio)}x`,
    limits.makespanRatio === undefined ? '' : `at most ${limits.makespanRatio}x`,
    `${round(registryRatio)}x`,
    limits.registryRatio === undefined
      ? ''
      : `at most ${limits.registryRatio}x${fault.allowance === undefined ? '' : ' and what nobody held'}`,
    runs.every(isGood) ? 'yes' : '**no**',
    [...new Set(runs.map((run) => `${run.date} \`${run.commit}\`${where(run)}`))].join(', '),
  ];
}

function describe({ machine }: RecordedRun): string {
  const { cores, cpu, memoryBytes, node, system } = machine;
  return `${cpu}, ${cores} cores, ${formatBytes(memoryBytes)}, ${system}, Node ${node}`;
}

export function isGood({ broken }: ChaosResult): boolean {
  return broken.length === 0;
}

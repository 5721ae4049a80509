import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exitCodeOf, interruptSignal } from '../../bench/fixtures/command-line.ts';
import { twoColumns } from '../../bench/fixtures/table.ts';
import { describeMachine } from '../../bench/report/machine.ts';
import { extendPath, provideTools } from '../../scripts/test-tools.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { type ChaosFlags, HELP, readFlags } from './cli.ts';
import { FAULTS } from './faults/index.ts';
import { chaosPage, isGood } from './page.ts';
import type { ChaosResult } from './result.ts';
import { runSuite, type SuiteResults } from './suite.ts';

const PROGRAMS = [
  'docker-registry',
  'containerd',
  'ctr',
  'runc',
  'busybox',
  'ip',
  'tc',
  'iptables',
  'faketime',
];
const PAGES = join(import.meta.dirname, '..', '..', 'docs', 'benchmarks');
const signal = interruptSignal();
const say = (text: string): void => void process.stderr.write(`${text}\n`);

try {
  const flags = readFlags(process.argv.slice(2));
  if (flags.mode === 'help') process.stdout.write(HELP);
  else if (flags.mode === 'list') {
    process.stdout.write(twoColumns(FAULTS.map(({ name, what }) => [name, what])));
  } else process.exitCode = (await runAll(flags)) ? 0 : 1;
} catch (error) {
  say((error as Error).message);
  process.exitCode = exitCodeOf(error, signal);
}

async function runAll(flags: ChaosFlags): Promise<boolean> {
  extendPath();
  provideTools(say);
  const missing = skipReason({ programs: PROGRAMS });
  if (missing !== false) throw new Error(`the fault suite cannot run here: ${missing}`);
  const onResult = (result: ChaosResult, kept: boolean): void => {
    say(describe(result, kept));
    if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  };
  const suite = await runSuite(flags, { say, onResult }, signal);
  if (flags.record) await record(flags, suite);
  const good = suite.results.filter(isGood).length;
  say(`${good} of ${suite.results.length} runs held, ${suite.failures.length} could not be run`);
  return good === suite.results.length && suite.failures.length === 0 && good > 0;
}

function describe(result: ChaosResult, kept: boolean): string {
  const { broken, fault, makespanRatio, registryRatio, seconds, seed } = result;
  const time = makespanRatio === null ? `${seconds} s` : `${seconds} s = ${makespanRatio}x of calm`;
  return [
    `${broken.length === 0 ? 'ok' : 'BROKEN'} ${fault}, seed ${seed}: ${time}, registry ${registryRatio}x${kept ? ' (from an earlier run)' : ''}`,
    ...broken.map((what) => `  ${what}`),
  ].join('\n');
}

async function record({ size }: ChaosFlags, { code, results }: SuiteResults): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const data = { date, code, machine: describeMachine(), size, results };
  await writeFile(join(PAGES, 'chaos.md'), chaosPage(data, FAULTS));
  await writeFile(join(PAGES, 'chaos.json'), `${JSON.stringify(data, undefined, 2)}\n`);
  say('Written: docs/benchmarks/chaos.md, docs/benchmarks/chaos.json');
}

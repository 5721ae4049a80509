import { exitCodeOf, interruptSignal } from '../../bench/fixtures/command-line.ts';
import { twoColumns } from '../../bench/fixtures/table.ts';
import { extendPath, provideTools } from '../../scripts/test-tools.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { type ChaosFlags, HELP, readFlags } from './cli.ts';
import { FAULTS } from './faults/index.ts';
import { isGood } from './page.ts';
import { writeRecord } from './record.ts';
import type { ChaosResult } from './result.ts';
import { runSuite } from './suite.ts';

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
  if (flags.record) {
    await writeRecord(flags.size, suite.results);
    say('Written: docs/benchmarks/chaos.md, docs/benchmarks/chaos.json');
  }
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

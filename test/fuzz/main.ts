import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { keepRegression } from './regressions.ts';
import { loadTarget, runTarget, type TargetResult, targetNames } from './run-target.ts';

interface Options {
  readonly target?: readonly string[];
  readonly runs?: number;
  readonly seconds?: number;
  readonly seed: number;
  readonly jobs: number;
  readonly json?: boolean;
  readonly keep?: boolean;
  readonly list?: boolean;
}

/** Of the lines of each parser. */
const LEAST_COVERED = 0.95;
const DEFAULT_RUNS = 20_000;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const number = (text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('expected a number');
  }
  return value;
};

const options = new Command('fuzz')
  .description('Feeds every parser that faces a socket or a file what nobody would send in earnest.')
  .option('--target <name...>', 'only these (default: all)')
  .option('--runs <count>', `inputs for each target (default: ${DEFAULT_RUNS})`, number)
  .option('--seconds <seconds>', 'instead: for so long in all, shared among the targets', number)
  .option('--seed <number>', 'the same seed gives the same inputs', number, 1)
  .option('--jobs <count>', 'targets at once', number, availableParallelism())
  .option('--keep', 'write what was found to test/fuzz/regressions/, where each run begins')
  .option('--json', 'one JSON object a target')
  .option('--list', 'name the targets and what they read')
  .parse()
  .opts<Options>();

const known = targetNames();
const unknown = options.target?.find((name) => !known.includes(name));
if (unknown !== undefined) {
  process.stderr.write(`no target ${unknown}; there are ${known.join(', ')}\n`);
  process.exitCode = 2;
} else if (options.list === true) {
  for (const name of known) say(`${name.padEnd(22)} ${(await loadTarget(name)).about}`);
} else await fuzz(options.target ?? known);

async function fuzz(names: readonly string[]): Promise<void> {
  const { jobs, runs, seconds, seed } = options;
  const each = seconds === undefined ? Number.POSITIVE_INFINITY : (seconds * jobs) / names.length;
  const most = runs ?? (seconds === undefined ? DEFAULT_RUNS : Number.MAX_SAFE_INTEGER);
  const waiting = [...names];
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      tell(await runTarget(name, { runs: most, seconds: each, seed }));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, work));
}

function tell({ coverage, findings, inputs, name, seconds }: TargetResult): void {
  const { lines, missed, reached } = coverage;
  const isCovered = reached >= lines * LEAST_COVERED;
  if (findings.length > 0 || !isCovered) process.exitCode = 1;
  const found = findings.map(({ index, input, problem }) => ({
    problem,
    index,
    input: Buffer.from(input).toString('base64'),
    ...(options.keep === true ? { kept: keepRegression(name, input) } : {}),
  }));
  if (options.json === true) {
    const took = Number(seconds.toFixed(1));
    say(JSON.stringify({ target: name, inputs, seconds: took, lines, reached, missed, findings: found }));
    return;
  }
  say(
    `${name.padEnd(22)} ${String(inputs).padStart(8)} inputs, ${seconds.toFixed(1).padStart(6)} s, ` +
      `${((100 * reached) / Math.max(lines, 1)).toFixed(1).padStart(5)}% of ${lines} lines` +
      (isCovered ? '' : `, NOT REACHED: ${missed.join(' ')}`),
  );
  for (const { index, input, problem } of found) {
    say(`  FOUND ${problem}\n    --seed ${options.seed}, input ${index}: ${input.slice(0, 400)}`);
  }
}

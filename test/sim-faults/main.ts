import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { drawPlan, type Plan, withIdentities } from './plan.ts';
import { shrink } from './shrink.ts';
import { type Outcome, simulate } from './simulate.ts';
import { runWorkers, type Work } from './workers.ts';

interface Options {
  readonly seeds: number;
  readonly firstSeed: number;
  readonly jobs: number;
  readonly json?: boolean;
  readonly trace?: boolean;
  readonly messages?: boolean;
  readonly stalls?: boolean;
  readonly identities?: boolean;
  readonly shrink: boolean;
  readonly plan?: Plan;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

if (process.send === undefined) await main();
else process.on('message', (message) => void work(message as Work));

async function main(): Promise<void> {
  const command = new Command('test:sim-faults')
    .description('Simulates small clusters in which random things go wrong, and checks that nothing breaks.')
    .option('--seeds <count>', 'clusters to simulate', count, 100)
    .option('--first-seed <number>', 'seed of the first one; the others follow', count, 1)
    .option('--jobs <count>', 'processes that simulate at once', count, availableParallelism())
    .option('--json', 'one JSON object a seed, and one at the end')
    .option('--trace', 'tell everything that happens, in this process')
    .option('--stalls', 'also fail when a client waits for more than 5 s while nothing goes wrong')
    .option('--identities', 'members prove who they are, and show capabilities for what they get')
    .option('--messages', 'the trace also has what peers say to each other')
    .option(
      '--plan <json>',
      'this plan instead, as a shrunk one was told',
      (text) => JSON.parse(text) as Plan,
    )
    .option('--no-shrink', 'do not look for the smallest plan that fails alike')
    .parse();
  const options = command.opts<Options>();
  const startedMs = performance.now();
  const outcomes = await (options.trace === true || options.plan !== undefined
    ? tell(options)
    : spread(options));
  const failed = outcomes.filter(({ violation }) => violation !== undefined);
  const seconds = (performance.now() - startedMs) / 1000;
  const summary = {
    seeds: outcomes.length,
    failed: failed.length,
    failedSeeds: failed.map(({ seed }) => seed).sort((a, b) => a - b),
    pulls: outcomes.reduce((sum, { pulls }) => sum + pulls, 0),
    simulatedSeconds: Math.round(outcomes.reduce((sum, { simulatedMs }) => sum + simulatedMs, 0) / 1000),
    seconds: Number(seconds.toFixed(1)),
  };
  if (options.json === true) say(JSON.stringify(summary));
  else {
    say(
      `${summary.seeds} seeds, ${summary.failed} failed, ${summary.pulls} pulls, ` +
        `${summary.simulatedSeconds} s of clusters in ${summary.seconds} s`,
    );
  }
  if (failed.length > 0) process.exitCode = 1;
}

/** In this process, one after the other. */
async function tell({
  firstSeed,
  identities,
  json,
  plan: given,
  messages,
  seeds,
  stalls,
  trace,
}: Options): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const plans = Array.from({ length: seeds }, (_, index) => planOf(firstSeed + index, identities));
  for (const plan of given === undefined ? plans : [given]) {
    if (trace === true) say(JSON.stringify(plan));
    const outcome = await simulate(plan, { stalls, ...(trace === true ? { onTrace: say, messages } : {}) });
    outcomes.push(outcome);
    report(outcome, json === true);
  }
  return outcomes;
}

/** The seeds over several processes; what fails is shrunk there too. */
async function spread(options: Options): Promise<readonly Outcome[]> {
  const { firstSeed, identities, jobs, json, seeds, stalls } = options;
  const outcomes = await runWorkers(
    { program: import.meta.filename, firstSeed, seeds, jobs, stalls, identities },
    (outcome) => {
      if (outcome.violation !== undefined || json === true) report(outcome, json === true);
    },
  );
  // What takes its process along cannot be shrunk here.
  const [smallest] = outcomes
    .filter(({ violation }) => violation !== undefined && violation.invariant !== 'process-lost')
    .map(({ seed }) => seed)
    .sort((a, b) => a - b);
  if (options.shrink && smallest !== undefined) {
    const { plan, runs } = await shrink(planOf(smallest, identities), { world: { stalls } });
    const shrunk = { shrunk: smallest, runs, plan };
    say(
      json === true
        ? JSON.stringify(shrunk)
        : `seed ${smallest}, shrunk in ${runs} runs: ${JSON.stringify(plan)}`,
    );
  }
  return outcomes;
}

function report(outcome: Outcome, json: boolean): void {
  if (json) {
    say(JSON.stringify(outcome));
    return;
  }
  const { seed, violation } = outcome;
  if (violation === undefined) return;
  const { atMs, invariant, message, step } = violation;
  say(`seed ${seed}: ${invariant} at step ${step}, ${atMs.toFixed(1)} ms: ${message}`);
  say(`  again: npm run test:sim-faults -- --first-seed ${seed} --seeds 1 --trace`);
}

async function work({ identities, seeds, stalls }: Work): Promise<void> {
  for (const seed of seeds) {
    const outcome = await simulate(planOf(seed, identities), { stalls });
    // Gone before the next one begins, which may never let go.
    await new Promise((resolve) => process.send?.(outcome, resolve));
  }
}

function planOf(seed: number, identities = false): Plan {
  const plan = drawPlan(seed);
  return identities ? withIdentities(plan) : plan;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('not a whole number above 0');
  return value;
}

import { writeFileSync } from 'node:fs';
import { describeError, hasCode } from '../../lib/core/errors.ts';
import { simulatedTrace } from '../trace/simulated-trace.ts';
import { type SimulateFlags, simulateCli } from './cli.ts';
import { blindSwarm } from './models/blind-swarm.ts';
import { direct } from './models/direct.ts';
import { wholeLayer } from './models/whole-layer.ts';
import type { Strategy } from './outcome.ts';
import { plotSvg } from './plot.ts';
import { progressLine } from './progress.ts';
import { formatReport, report } from './report.ts';
import { Simulation } from './swarm/simulation.ts';
import type { Came } from './swarm/world.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Models of other kinds of schemes, under the same physics. */
const OTHERS: Readonly<Record<string, Strategy>> = {
  'blind swarm': blindSwarm,
  'whole layer': wholeLayer,
  direct,
};

function run({ scenario, json, compare, plot, trace }: SimulateFlags): void {
  const came: Came[] = [];
  const onCame = trace === undefined ? undefined : (piece: Came): void => void came.push(piece);
  const damselfly: Strategy = (given, onProgress) => new Simulation(given, undefined, onCame).run(onProgress);
  const strategies: Record<string, Strategy> = { damselfly, ...(compare ? OTHERS : {}) };
  const runs = Object.entries(strategies).map(([name, strategy]) => {
    const startedMs = performance.now();
    const progress = progressLine(name, json);
    const outcome = strategy(scenario, progress.show);
    progress.end();
    const wall = {
      seconds: (performance.now() - startedMs) / 1000,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
    };
    return { name, scenario, outcome, report: report(name, scenario, outcome, wall) };
  });
  const [own, ...others] = runs.map((each) => each.report);
  if (json) {
    process.stdout.write(`${JSON.stringify(others.length > 0 ? { ...own, compare: others } : own)}\n`);
  } else process.stdout.write(`${runs.map((each) => formatReport(scenario, each.report)).join('\n\n')}\n`);
  if (plot !== undefined) writeFileSync(plot, plotSvg(runs));
  const outcome = runs[0]?.outcome;
  if (trace !== undefined && outcome !== undefined) {
    writeFileSync(trace, simulatedTrace(scenario, outcome, came));
  }
}

try {
  simulateCli(run)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
    .parse();
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = hasCode(error, 'CONFIG_INVALID') ? EXIT_USAGE : EXIT_FAILED;
}

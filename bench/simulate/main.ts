import { describeError, hasCode } from '../../lib/core/errors.ts';
import { type SimulateFlags, simulateCli } from './cli.ts';
import { formatReport, report } from './report.ts';
import { Simulation } from './simulation.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

function run({ scenario, json }: SimulateFlags): void {
  const startedMs = performance.now();
  const simulation = new Simulation(scenario);
  const outcome = simulation.run((share, atMs) => {
    if (!process.stderr.isTTY) return;
    process.stderr.write(
      `\r${(share * 100).toFixed(0)} % of the nodes done at ${(atMs / 1000).toFixed(1)} s`,
    );
  });
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  const result = report(scenario, outcome, {
    seconds: (performance.now() - startedMs) / 1000,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  });
  process.stdout.write(`${json ? JSON.stringify(result) : formatReport(scenario, result)}\n`);
}

try {
  simulateCli(run)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
    .parse();
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = hasCode(error, 'CONFIG_INVALID') ? EXIT_USAGE : EXIT_FAILED;
}

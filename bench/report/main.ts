import { exitCodeOf, interruptSignal } from '../fixtures/command-line.ts';
import { HELP, readFlags } from './cli.ts';
import { runReport } from './run-report.ts';

const signal = interruptSignal();
try {
  const flags = readFlags(process.argv.slice(2));
  if (flags === undefined) process.stdout.write(HELP);
  else process.exitCode = (await runReport(flags, signal)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = exitCodeOf(error, signal);
}

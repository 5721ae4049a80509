import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Command } from 'commander';
import { DamselflyError, describeError, hasCode } from '../../lib/core/errors.ts';
import { completionOf } from './completion.ts';
import { plotTraces } from './plot-trace.ts';
import { readTrace } from './read-trace.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const HELP = `
Examples:
  dfget explain --trace harbor.corp/team/app:v1 > pull.jsonl
  npm run bench:plot -- pull.jsonl -o pull.svg
  npm run bench:sim -- --nodes 20 --blob-bytes 40MiB --trace simulated.jsonl
  npm run bench:plot -- pull.jsonl simulated.jsonl -o both.svg

A file may hold the traces of several processes, one after the other: cat node*.jsonl > fleet.jsonl
Exit codes: 0 done, 1 failed, 2 a file holds no trace of a pull.
`;

function plot(files: readonly string[], { output }: { readonly output: string }): void {
  const traces = files.map((file) => {
    const completion = completionOf(readTrace(readFileSync(file, 'utf8'), file));
    if (completion.steps.length === 0) {
      throw new DamselflyError('CONFIG_INVALID', `${file}: no client has pulled anything in it`, { file });
    }
    return { name: basename(file), ...completion };
  });
  writeFileSync(output, plotTraces(traces));
}

try {
  new Command('bench:plot')
    .description('Draws how pulls came in, from traces of daemons and of the simulator (docs/TRACE.md).')
    .argument('<file...>', 'traces, one curve each')
    .requiredOption('-o, --output <file>', 'the picture, SVG')
    .addHelpText('after', HELP)
    .action(plot)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
    .parse();
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = hasCode(error, 'CONFIG_INVALID') ? EXIT_USAGE : EXIT_FAILED;
}

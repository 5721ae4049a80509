import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DamselflyError } from '../../lib/core/errors.ts';
import { exitCodeOf, interruptSignal, parseCount } from '../fixtures/command-line.ts';
import { round, twoColumns } from '../fixtures/table.ts';
import { writePage } from './page.ts';
import { type Figure, type Row, reaches } from './row.ts';
import { ROWS } from './rows.ts';
import { runRows } from './run-rows.ts';

const HELP = `Measures the data plane and the store with real processes, each row against a baseline in the same run: medians of
interleaved pairs, CPU seconds per GB from the operating system. A row takes seconds to a few minutes.

  npm run bench:data -- --json
  npm run bench:data -- --row serve-vs-nginx

  --row NAME   only this row; may be given more than once
  --runs N     interleaved pairs for each row (5)
  --out FILE   write the page there too (docs/benchmarks/data-plane.md)
  --json       one JSON object on stdout: {rows: [{row, value, unit, target, better, runs}]}

Rows:
${twoColumns(ROWS.map(({ name, about }): [string, string] => [name, about]))}
Exit code 0: all rows were measured, whether or not they met their targets; 1: some were not; 2: wrong usage.
`;

const signal = interruptSignal();
try {
  const { values } = parseArgs({
    options: {
      row: { type: 'string', multiple: true, default: [] },
      runs: { type: 'string', default: '5' },
      out: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) process.stdout.write(HELP);
  else {
    process.exitCode = await measure(
      rowsNamed(values.row),
      parseCount('--runs', values.runs),
      values.json,
      values.out,
    );
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = exitCodeOf(error, signal);
}

async function measure(rows: readonly Row[], runs: number, json: boolean, out?: string): Promise<number> {
  const results = await runRows(
    rows,
    { runs, signal },
    {
      say: (text) => void process.stderr.write(`${text}\n`),
      measured: (figure) => void (json || process.stdout.write(describe(figure))),
    },
  );
  const { failures, figures } = results;
  if (out !== undefined) await writePage(resolve(out), rows, results);
  if (json) process.stdout.write(`${JSON.stringify({ rows: figures, failures })}\n`);
  return failures.length === 0 ? 0 : 1;
}

function describe(figure: Figure): string {
  const { row, value, unit, target, better, note } = figure;
  const aim = `${better === 'higher' ? 'at least' : 'at most'} ${target}`;
  const verdict = reaches(figure) ? 'met' : 'MISSED';
  return `${row}: ${round(value)} ${unit} (${aim}: ${verdict})${note === undefined ? '' : `; ${note}`}\n`;
}

function rowsNamed(names: readonly string[]): readonly Row[] {
  if (names.length === 0) return ROWS;
  return names.map((name) => {
    const row = ROWS.find((each) => each.name === name);
    if (row !== undefined) return row;
    const known = ROWS.map((each) => each.name).join(', ');
    throw new DamselflyError(
      'CONFIG_INVALID',
      `--row: got ${JSON.stringify(name)}; expected one of ${known}`,
    );
  });
}

import { dirname } from 'node:path';
import { formatBytes } from '../../lib/config/units.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { markdownTable } from '../fixtures/markdown-table.ts';
import { round } from '../fixtures/table.ts';
import { codeVersion, describeMachine } from '../report/machine.ts';
import { writeText } from '../report/text-file.ts';
import { type Figure, type Row, reaches } from './row.ts';
import type { RowResults } from './run-rows.ts';

/** Writes the page of the data plane with what was measured just now, on this machine and commit. */
export async function writePage(path: string, rows: readonly Row[], results: RowResults): Promise<void> {
  const { commit, changed } = await codeVersion();
  const { cores, cpu, memoryBytes, node, system } = describeMachine();
  const date = new Date().toISOString().slice(0, 10);
  const met = results.figures.filter(reaches).length;
  const text = `${[
    '# Data plane and store: measured rows',
    'Written by `npm run bench:report`. Each row runs our side and its baseline in turn on the same machine: read ratios, not rates. [DATA-PLANE.md](../DATA-PLANE.md) says what the path is and why.',
    `${date}, commit \`${commit.slice(0, 12)}\`${changed ? ' with changes' : ''}, ${cpu}, ${cores} cores, ${formatBytes(memoryBytes)}, ${system}, Node ${node}.`,
    `**${met} of ${results.figures.length} figures meet their targets.**`,
    markdownTable(
      ['figure', 'measured', 'target', 'met', 'CPU s/GB, ours and baseline', 'peak RSS', 'runs'],
      results.figures.map(cells),
    ),
    ...results.figures.flatMap(({ note, row }) => (note === undefined ? [] : [`- \`${row}\`: ${note}`])),
    ...results.failures.map(({ reason, row }) => `- \`${row}\` was not measured: ${reason}`),
    `## Rows\n\n\`npm run bench:data -- --row NAME\` measures one.`,
    markdownTable(
      ['row', 'what is measured'],
      rows.map(({ about, name }) => [`\`${name}\``, about]),
    ),
  ].join('\n\n')}\n`;
  const disk = createNodeDisk();
  await disk.makeFolder(dirname(path));
  await writeText(disk, path, text);
}

function cells(figure: Figure): string[] {
  const { better, cpuSecondsPerGB: cpu, peakRssBytes, row, runs, target, unit, value } = figure;
  return [
    `\`${row}\``,
    `${round(value)} ${unit}`,
    `${better === 'higher' ? 'at least' : 'at most'} ${target}`,
    reaches(figure) ? 'yes' : '**no**',
    cpu === undefined
      ? ''
      : [cpu.ours, cpu.baseline].flatMap((each) => (each === undefined ? [] : [round(each)])).join(', '),
    peakRssBytes === undefined ? '' : formatBytes(peakRssBytes),
    runs.map(round).join(', '),
  ];
}

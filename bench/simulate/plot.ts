import type { Outcome } from './outcome.ts';
import { type ChartRun, chartBlock } from './plot/chart.ts';
import { grouped, headline } from './plot/facts.ts';
import { element, escapeXml, text } from './plot/svg.ts';
import { factor, factsBlock, runsBlock } from './plot/tables.ts';
import { FONT, FONT_SIZE, INK, MARGIN, MUTED, PAPER, RULE, WIDTH } from './plot/theme.ts';
import type { Report } from './report.ts';
import type { Scenario } from './scenario.ts';

/** One line of the picture. */
export interface PlottedRun {
  readonly name: string;
  readonly report: Report;
  readonly outcome: Outcome;
  readonly scenario: Scenario;
}

const PAPER_STYLE = { fill: PAPER, stroke: RULE };

/**
 * A standalone SVG: how the share of nodes that have the image grows, against the physical limit; below it the facts of
 * the scenario and the figures of each run. All runs are of one scenario; the first one is marked.
 */
export function plotSvg(runs: readonly PlottedRun[]): string {
  const first = runs[0];
  if (first === undefined) throw new RangeError('nothing to plot: there are no runs');
  const chart = chartBlock(runs.map(chartRun), 78);
  const factsTop = 78 + chart.height + 26;
  const facts = factsBlock(first.scenario, factsTop);
  const runsTop = factsTop + facts.height + 18;
  const table = runsBlock(runs, runsTop);
  const height = runsTop + table.height + 12;
  const title = headline(first.scenario);
  return `${element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${WIDTH} ${Math.ceil(height)}`,
      width: WIDTH,
      height: Math.ceil(height),
      role: 'img',
      'aria-labelledby': 'title description',
      'font-family': FONT,
      'font-size': FONT_SIZE,
      fill: INK,
    },
    element('title', { id: 'title' }, escapeXml(title)),
    element('desc', { id: 'description' }, escapeXml(describe(first, runs))),
    // Its own paper, so that it reads on dark pages too.
    element('rect', {
      x: 0.5,
      y: 0.5,
      width: WIDTH - 1,
      height: Math.ceil(height) - 1,
      rx: 8,
      ...PAPER_STYLE,
    }),
    text(MARGIN, 36, title, { 'font-size': 18, 'font-weight': 650 }),
    text(MARGIN, 58, subtitle(first), { fill: MUTED }),
    `\n${chart.markup}\n`,
    element('path', { d: `M${MARGIN} ${factsTop - 12}H${WIDTH - MARGIN}`, stroke: RULE }),
    `${facts.markup}\n`,
    `${table.markup}\n`,
  )}\n`;
}

function chartRun({ name, report, outcome }: PlottedRun): ChartRun {
  const counts = (_: number, node: number): boolean => outcome.counted[node] === 1;
  return { name, report, sortedSeconds: outcome.seconds.filter(counts).sort() };
}

function subtitle({ report, scenario }: PlottedRun): string {
  const left = scenario.nodes - report.nodesCounted;
  const all = left === 0 ? '' : ` (without the ${grouped(left)} that died, are slow or send wrong bytes)`;
  return `Share of the nodes that have every byte${all}`;
}

/** For those who do not see the picture. */
function describe(first: PlottedRun, runs: readonly PlottedRun[]): string {
  const each = runs.map(
    ({ name, report: { seconds, ratio } }) =>
      `${name}: p50 ${seconds.p50.toFixed(2)} s (${factor(ratio.p50)}), ` +
      `p99.9 ${seconds.p999.toFixed(2)} s (${factor(ratio.p999)}), max ${seconds.max.toFixed(2)} s`,
  );
  return (
    `Completion curves of simulated pulls. The physical limit is ${first.report.idealSeconds.toFixed(2)} s. ` +
    `${each.join('; ')}.`
  );
}

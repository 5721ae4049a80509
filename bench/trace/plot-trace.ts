import { linearAxis } from '../simulate/plot/axis.ts';
import { axes, drawCurve, HEIGHT, LEFT, legendBlock, RIGHT } from '../simulate/plot/chart.ts';
import { type Step, stepCurve } from '../simulate/plot/curve.ts';
import { grouped, sizeText } from '../simulate/plot/facts.ts';
import { element, escapeXml, text } from '../simulate/plot/svg.ts';
import { FONT, FONT_SIZE, INK, MARGIN, MUTED, PAPER, RULE, WIDTH } from '../simulate/plot/theme.ts';
import type { Completion } from './completion.ts';

/** One line of the picture. */
export interface PlottedTrace extends Completion {
  readonly name: string;
}

const TITLE = 'How pulls came in';
const LINE = 21;

/** A standalone SVG: the share of the bytes that are here over time, a curve a trace, with its times below. */
export function plotTraces(traces: readonly PlottedTrace[]): string {
  const legend = legendBlock(traces, 72);
  const top = 72 + legend.height + 20;
  const last = (steps: readonly Step[]): number => steps.at(-1)?.seconds ?? 0;
  const ends = traces.map(({ steps }) => last(steps));
  const axis = linearAxis(0, Math.max(...ends));
  const x = (seconds: number): number => LEFT + axis.at(seconds) * (RIGHT - LEFT);
  const y = (share: number): number => top + (1 - share) * HEIGHT;
  const tableTop = top + HEIGHT + 72;
  const height = tableTop + traces.length * LINE;
  const told = traces.map(textOf);
  return `${element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      ...{ viewBox: `0 0 ${WIDTH} ${Math.ceil(height)}`, width: WIDTH, height: Math.ceil(height) },
      ...{ role: 'img', 'aria-labelledby': 'title description' },
      ...{ 'font-family': FONT, 'font-size': FONT_SIZE, fill: INK },
    },
    element('title', { id: 'title' }, escapeXml(TITLE)),
    element('desc', { id: 'description' }, escapeXml(told.join('. '))),
    element('rect', {
      ...{ x: 0.5, y: 0.5, width: WIDTH - 1, height: Math.ceil(height) - 1, rx: 8 },
      ...{ fill: PAPER, stroke: RULE },
    }),
    text(MARGIN, 36, TITLE, { 'font-size': 18, 'font-weight': 650 }),
    text(MARGIN, 58, 'Share of the bytes that clients asked for and that are here', { fill: MUTED }),
    legend.markup,
    axes(axis, x, y, 'the first pull of each process'),
    ...traces.map(({ steps }, index) => drawCurve(stepCurve(steps, x, y), index)).reverse(),
    ...told.map((line, index) => text(MARGIN, tableTop + index * LINE, line)),
  )}\n`;
}

/** `pull.jsonl: 40 MiB on 1 process; half after 0.31 s, 99 % after 0.52 s, all after 0.53 s` */
function textOf({ bytes, name, processes, steps }: PlottedTrace): string {
  const after = (share: number): string | undefined => {
    const step = steps.find((each) => each.share >= share - 1e-9);
    return step && `${step.seconds.toFixed(2)} s`;
  };
  const here = steps.at(-1)?.share ?? 0;
  const times = [
    ['half', 0.5],
    ['99 %', 0.99],
    ['all', 1],
  ].flatMap(([what, share]) => {
    const when = after(Number(share));
    return when === undefined ? [] : [`${what} after ${when}`];
  });
  if (here < 1 - 1e-9) times.push(`${grouped(here * 100)} % in all`);
  const on = `${grouped(processes)} ${processes === 1 ? 'process' : 'processes'}`;
  return `${name}: ${sizeText(bytes)} on ${on}; ${times.join(', ')}`;
}

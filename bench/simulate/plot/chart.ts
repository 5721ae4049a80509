import type { Report } from '../report.ts';
import { type TimeAxis, timeAxis } from './axis.ts';
import { type Curve, completionSteps, stepCurve } from './curve.ts';
import { marks } from './marks.ts';
import { coordinate, element, text, textWidth } from './svg.ts';
import { type Block, secondsText } from './tables.ts';
import { COLOURS, FONT_SIZE, INK, LIMIT, MARGIN, MUTED, RULE, WIDTH } from './theme.ts';

/** A run as the chart needs it. */
export interface ChartRun {
  readonly name: string;
  readonly report: Report;
  /** Of the nodes that count, from a node's own start, ascending. */
  readonly sortedSeconds: Float64Array;
}

export const HEIGHT = 300;
export const LEFT = MARGIN + 44;
export const RIGHT = WIDTH - MARGIN;
const SHARES = [0, 0.25, 0.5, 0.75, 1];
const LEGEND_LINE = 20;

/** Legend, completion curves, limit, marks and axes. */
export function chartBlock(runs: readonly ChartRun[], top: number): Block {
  const legend = legendBlock(runs, top);
  const chartTop = top + legend.height + 28;
  const limit = runs[0]?.report.idealSeconds ?? 0;
  const all = runs.flatMap(({ sortedSeconds }) => [
    ...sortedSeconds.subarray(0, 1),
    ...sortedSeconds.subarray(-1),
  ]);
  const axis = timeAxis(Math.min(limit, ...all), Math.max(limit, ...all));
  const x = (seconds: number): number => LEFT + axis.at(seconds) * (RIGHT - LEFT);
  const y = (share: number): number => chartTop + (1 - share) * HEIGHT;
  const curves = runs.map(({ sortedSeconds }) => stepCurve(completionSteps(sortedSeconds), x, y));
  const markFirst = (): string => {
    const first = runs[0];
    if (first === undefined || first.sortedSeconds.length === 0) return '';
    const area = { left: LEFT, right: RIGHT, top: y(1), bottom: y(0) };
    const limitBox = { left: x(limit), right: x(limit), top: y(1), bottom: y(0) };
    const lines = [limitBox, ...curves.flatMap(({ segments }) => segments)];
    return marks(first.report, { colour: colourOf(0).stroke, area, lines, x, y });
  };
  return {
    markup: [
      axes(axis, x, y, 'the node’s own start'),
      limitLine(limit, x(limit), chartTop),
      // The first run is drawn last, above the others.
      ...curves.map(drawCurve).reverse(),
      markFirst(),
    ].reduce((markup, part) => markup + part, legend.markup),
    height: chartTop + HEIGHT + 48 - top,
  };
}

/** Which line is whose. */
export function legendBlock(runs: readonly Pick<ChartRun, 'name'>[], top: number): Block {
  let [x, row] = [LEFT, 0];
  const items = runs.map(({ name }, i) => {
    const width = 34 + textWidth(name, FONT_SIZE) + 22;
    if (x + width > RIGHT && x > LEFT) [x, row] = [LEFT, row + 1];
    const y = top + 12 + row * LEGEND_LINE;
    const { stroke, dashes } = colourOf(i);
    const item =
      element('path', {
        d: `M${coordinate(x)} ${coordinate(y - 4)}h26`,
        stroke,
        'stroke-width': i === 0 ? 3 : 2,
        'stroke-dasharray': dashes,
      }) + text(x + 34, y, name, i === 0 ? { 'font-weight': 600 } : {});
    x += width;
    return item;
  });
  return { markup: element('g', {}, ...items), height: (row + 1) * LEGEND_LINE };
}

/** @param since what the times are counted from */
export function axes(
  axis: TimeAxis,
  x: (seconds: number) => number,
  y: (share: number) => number,
  since: string,
): string {
  const horizontal = SHARES.map(
    (share) =>
      element('path', {
        d: `M${LEFT} ${coordinate(y(share))}H${RIGHT}`,
        stroke: share === 0 ? MUTED : RULE,
      }) + text(LEFT - 8, y(share) + 4, `${share * 100} %`, { fill: MUTED, 'text-anchor': 'end' }),
  );
  const vertical = axis.ticks.map(
    ({ value, label }) =>
      element('path', {
        d: `M${coordinate(x(value))} ${coordinate(y(0))}v5`,
        stroke: MUTED,
      }) + text(x(value), y(0) + 19, label, { fill: MUTED, 'text-anchor': 'middle' }),
  );
  const note = axis.log ? ', logarithmic axis' : axis.from > 0 ? '; the axis does not start at 0' : '';
  return element(
    'g',
    {},
    ...horizontal,
    ...vertical,
    text((LEFT + RIGHT) / 2, y(0) + 40, `seconds since ${since}${note}`, {
      fill: MUTED,
      'text-anchor': 'middle',
    }),
  );
}

function limitLine(seconds: number, x: number, top: number): string {
  const label = `physical limit ${secondsText(seconds)}`;
  const half = textWidth(label, FONT_SIZE) / 2;
  return element(
    'g',
    { id: 'limit' },
    element('path', {
      d: `M${coordinate(x)} ${coordinate(top - 4)}V${coordinate(top + HEIGHT)}`,
      stroke: LIMIT,
      'stroke-width': 1.5,
      'stroke-dasharray': '5 4',
    }),
    text(Math.min(Math.max(x, LEFT + half), RIGHT - half), top - 10, label, {
      fill: LIMIT,
      'text-anchor': 'middle',
      'font-weight': 600,
    }),
  );
}

export function drawCurve({ path }: Curve, run: number): string {
  const { stroke, dashes } = colourOf(run);
  return element('path', {
    class: 'curve',
    d: path,
    fill: 'none',
    stroke,
    'stroke-width': run === 0 ? 2.5 : 1.75,
    'stroke-dasharray': dashes,
    'stroke-linejoin': 'round',
  });
}

function colourOf(run: number): { readonly stroke: string; readonly dashes?: string } {
  return COLOURS[run % COLOURS.length] ?? { stroke: INK };
}

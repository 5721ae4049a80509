import type { Report } from '../report.ts';
import { type Box, clearest } from './curve.ts';
import { coordinate, element, text, textWidth } from './svg.ts';
import { factor, secondsText } from './tables.ts';
import { FONT_SIZE, INK, MUTED, PAPER } from './theme.ts';

/** A label that may stand somewhere. */
interface Place extends Box {
  /** The less the better. */
  readonly price: number;
  readonly lines: readonly string[];
  /** Whether the lines begin at the left edge or end at the right one: always on the side of the dot. */
  readonly anchor: 'start' | 'end';
}

const LINE = FONT_SIZE + 3;
/** Bold letters are wider by this. */
const BOLD = 1.1;
/** How far beside the dot a label may begin, and how far below it its first line may be. */
const BESIDE = [12, 30, 60, 90, 120, 160, 200];
const BELOW = [0, 12, 24, 44, 70, 100, 140, 180, -24];
/** Three lines are as good as one line that is so much farther away. */
const PRICE_OF_THREE_LINES = 15;
/** A label farther from its dot than this is joined to it. */
const NEAR = 24;
/** Letters keep a rim in the colour of the paper, so that they can be read over a line. */
const RIM = { stroke: PAPER, 'stroke-width': 3.5, 'paint-order': 'stroke', 'stroke-linejoin': 'round' };

/**
 * Dots at p50 and p99.9, each with a label where it covers least: near, and in one line when there is room.
 * @param area of the chart @param lines that are there already
 */
export function marks(
  { seconds, ratio }: Report,
  options: {
    readonly colour: string;
    readonly area: Box;
    readonly lines: readonly Box[];
    readonly x: (seconds: number) => number;
    readonly y: (share: number) => number;
  },
): string {
  const { colour, area, x, y } = options;
  const obstacles = [...options.lines];
  const dots = (
    [
      ['p50', 'p50', 0.5],
      ['p999', 'p99.9', 0.999],
    ] as const
  ).map(([field, name, share]) => ({
    words: [name, secondsText(seconds[field]), factor(ratio[field])],
    x: x(seconds[field]),
    y: y(share),
  }));
  const labels = dots.map((dot) => {
    const place = clearest(placesFor(dot, area), obstacles);
    if (place === undefined) return '';
    obstacles.push(place);
    const near = distance(dot.x, dot.y, place) <= NEAR;
    const leader = near ? '' : leaderLine(dot, place);
    const words = place.lines
      .map((line, i) =>
        text(place.anchor === 'start' ? place.left : place.right, place.top + LINE * (i + 1) - 3, line, {
          fill: INK,
          'font-weight': 600,
          'text-anchor': place.anchor,
          ...RIM,
        }),
      )
      .join('');
    return leader + words;
  });
  const circles = dots.map((dot) =>
    element('circle', { cx: dot.x, cy: dot.y, r: 4.5, fill: PAPER, stroke: colour, 'stroke-width': 2.5 }),
  );
  return element('g', {}, ...labels, ...circles);
}

function placesFor(
  { words, x, y }: { readonly words: readonly string[]; readonly x: number; readonly y: number },
  area: Box,
): Place[] {
  return [[words.join(' · ')], words]
    .flatMap((lines) => {
      const width = Math.max(...lines.map((line) => textWidth(line, FONT_SIZE) * BOLD));
      const height = lines.length * LINE;
      return BELOW.flatMap((below) =>
        BESIDE.flatMap((beside) => [x + beside, x - beside - width]).map((start) => {
          const left = clamp(start, area.left + 4, area.right - width);
          const top = clamp(y + below - LINE / 2, area.top + 2, area.bottom - height - 2);
          const box = { left, top, right: left + width, bottom: top + height };
          const price = distance(x, y, box) + (lines.length === 1 ? 0 : PRICE_OF_THREE_LINES);
          return {
            ...box,
            lines,
            price,
            anchor: left < x - width / 2 ? ('end' as const) : ('start' as const),
          };
        }),
      );
    })
    .sort((a, b) => a.price - b.price);
}

function leaderLine(dot: { readonly x: number; readonly y: number }, place: Box): string {
  const toX = clamp(dot.x, place.left - 4, place.right + 4);
  const toY = clamp(dot.y, place.top + LINE / 2, place.bottom - LINE / 2);
  return element('path', {
    d: `M${coordinate(dot.x)} ${coordinate(dot.y)}L${coordinate(toX)} ${coordinate(toY)}`,
    stroke: MUTED,
  });
}

/** From a point to a box. */
function distance(x: number, y: number, { left, top, right, bottom }: Box): number {
  return Math.hypot(x - clamp(x, left, right), y - clamp(y, top, bottom));
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(value, most));
}

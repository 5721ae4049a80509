import type { Report } from '../report.ts';
import type { Scenario } from '../scenario.ts';
import { type Fact, grouped, scenarioFacts } from './facts.ts';
import { element, shorten, text, textWidth } from './svg.ts';
import { COLOURS, FONT_SIZE, MARGIN, MUTED, RULE, WIDTH } from './theme.ts';

/** A part of the drawing with its height in pixels. */
export interface Block {
  readonly markup: string;
  readonly height: number;
}

/** A line of a table: a run and the colour of its curve. */
export interface TableRun {
  readonly name: string;
  readonly report: Report;
}

const LINE = 21;
const NAME_WIDTH = 72;
const MAX_VALUE_CHARACTERS = 118;
const MAX_NAME_CHARACTERS = 28;

const HALF = (WIDTH - 2 * MARGIN) / 2;

/** The facts in two columns; one that is too long for half the width has a line for itself. */
export function factsBlock(scenario: Scenario, top: number): Block {
  const cells: string[] = [];
  let row = 0;
  let column = 0;
  const place = (fact: Fact): void => {
    const wide = textWidth(fact.value, FONT_SIZE) > HALF - NAME_WIDTH - 12;
    if (wide && column === 1) {
      row++;
      column = 0;
    }
    const x = MARGIN + column * HALF;
    const y = top + 14 + row * LINE;
    cells.push(
      text(x, y, fact.name, { fill: MUTED }),
      text(x + NAME_WIDTH, y, shorten(fact.value, MAX_VALUE_CHARACTERS)),
    );
    if (wide || column === 1) {
      row++;
      column = 0;
    } else {
      column = 1;
    }
  };
  scenarioFacts(scenario).forEach(place);
  return { markup: element('g', {}, ...cells), height: (row + column) * LINE };
}

/** Where the columns of figures end; the names stand left of them. */
const COLUMNS: readonly {
  readonly right: number;
  readonly title: string;
  readonly value: (of: Report) => string;
}[] = [
  ...(['p50', 'p99', 'p999', 'max'] as const).map((field, i) => ({
    right: 346 + i * 117,
    title: field === 'p999' ? 'p99.9' : field,
    value: ({ seconds, ratio }: Report) => `${secondsText(seconds[field])} · ${factor(ratio[field])}`,
  })),
  { right: 760, title: 'registry', value: ({ originRatio }) => images(originRatio) },
  { right: 840, title: 'cross-zone', value: ({ crossZoneRatio }) => images(crossZoneRatio) },
  { right: WIDTH - MARGIN, title: 'max upload', value: ({ uploadMaxRatio }) => images(uploadMaxRatio) },
];

/** Percentiles and traffic, a line for each run. */
export function runsBlock(runs: readonly TableRun[], top: number): Block {
  const headY = top + 14;
  const head = [
    text(MARGIN, headY, 'run', { fill: MUTED }),
    ...COLUMNS.map(({ right, title }) => text(right, headY, title, { fill: MUTED, 'text-anchor': 'end' })),
    element('path', { d: `M${MARGIN} ${top + 22}H${WIDTH - MARGIN}`, stroke: RULE }),
  ];
  const lines = runs.flatMap(({ name, report }, i) => {
    const y = top + 40 + i * LINE;
    const dot = element('circle', {
      cx: MARGIN + 5,
      cy: y - 4.5,
      r: 5,
      fill: COLOURS[i % COLOURS.length]?.stroke,
    });
    return [
      dot,
      text(MARGIN + 16, y, shorten(name, MAX_NAME_CHARACTERS)),
      ...COLUMNS.map(({ right, value }) => text(right, y, value(report), { 'text-anchor': 'end' })),
    ];
  });
  const noteY = top + 40 + runs.length * LINE + 4;
  const note =
    'Times are from a node’s own start to its last byte, in seconds and over the physical limit. ' +
    'Traffic is in images: read from the registry, sent between zones, most that one node sent.';
  const noteLines = wrap(note, WIDTH - 2 * MARGIN, FONT_SIZE - 1).map((line, i) =>
    text(MARGIN, noteY + i * 16, line, { fill: MUTED, 'font-size': FONT_SIZE - 1 }),
  );
  return {
    markup: element('g', {}, ...head, ...lines, ...noteLines),
    height: 40 + runs.length * LINE + noteLines.length * 16,
  };
}

function wrap(content: string, width: number, fontSize: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of content.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (textWidth(longer, fontSize) > width && line !== '') {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, line];
}

/** 10.612 -> `10.61 s`, 2345.6 -> `2,346 s` */
export function secondsText(seconds: number): string {
  return `${seconds < 100 ? seconds.toFixed(2) : grouped(Math.round(seconds))} s`;
}

/** 1.0359 -> `1.036x`, 123.4 -> `123x` */
export function factor(ratio: number): string {
  return `${ratio < 10 ? ratio.toFixed(3) : ratio < 100 ? ratio.toFixed(1) : grouped(Math.round(ratio))}x`;
}

function images(ratio: number): string {
  return `${ratio < 100 ? ratio.toFixed(2) : grouped(Math.round(ratio))}x`;
}

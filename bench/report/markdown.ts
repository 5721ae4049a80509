import { formatBytes } from '../../lib/config/units.ts';
import { inline, markdownTable } from '../fixtures/markdown-table.ts';
import type { Report } from '../simulate/report.ts';
import { HOW_TO_READ, WHAT_IT_SEES } from './prose.ts';
import { isMet, type Results, type ScenarioResult } from './results.ts';
import type { Field } from './scenarios.ts';
import type { Check } from './targets.ts';

/** Fields whose names are not said by their last part. */
const FIELD_NAMES: Readonly<Partial<Record<Field, string>>> = {
  originRatio: 'registry',
  crossZoneRatio: 'cross-zone',
  makespanRatio: 'makespan / limit',
};

const PICTURES: Readonly<Record<string, string>> = {
  'simulation-crowd.svg': 'Completion curve of the flash crowd against the physical limit',
  'simulation-compare.svg': 'Completion curves of Damselfly and of models of other schemes',
};

/** The whole page. The same results give the same text. */
export function reportMarkdown(results: Results): string {
  const { scenarios, comparison, scale } = results;
  const parts = [
    '# Simulation: measured runs',
    'The daemon’s own decision code (`lib/swarm`) on simulated links. Written by `npm run bench:report`, figures and verdicts alike; the same commit and command give the same figures to the digit.',
    scale === 1 ? '' : `**A quick try with ${scale} of the nodes: not the figures of the scenarios.**`,
    conditions(results),
    verdict(scenarios),
    ...pictures(results, ['simulation-crowd.svg']),
    `## Scenarios\n\n${SCENARIO_NOTE}`,
    markdownTable(
      [
        'scenario',
        'profile',
        'limit, s',
        'p50',
        'p99',
        'p99.9',
        'max',
        'registry',
        'cross-zone',
        'target',
        'worst of all seeds',
        'met',
        'wall, s',
        'peak RSS',
        'command',
      ],
      scenarios.map(scenarioRow),
    ),
    ...failures(scenarios),
    ...(comparison === undefined
      ? []
      : [
          `## Beside other schemes\n\n${COMPARISON_NOTE}`,
          `\`${comparison.command}\``,
          markdownTable(
            [
              'scheme',
              'p50',
              'p99',
              'p99.9',
              'max',
              'seconds, p50',
              'seconds, p99.9',
              'first byte p99, s',
              'registry',
              'requests a node',
              'max upload',
            ],
            comparison.reports.map(comparisonRow),
          ),
          ...pictures(results, ['simulation-compare.svg']),
        ]),
    HOW_TO_READ,
    WHAT_IT_SEES,
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

const SCENARIO_NOTE =
  'p50 to max are times over the physical limit, each node from its own start, of the RNG seed with the worst p99.9; so are the traffic, the wall time and the memory beside them, and the command repeats that very run. ' +
  'A target holds for every RNG seed: "worst of all seeds" is the figure farthest from it. The targets are those of `reference`; with `daemon` each p99.9 may be 0.03 of the limit higher, and the other figures of the flash crowd by the line at the tracker (below).';

const COMPARISON_NOTE =
  'Models of other kinds of schemes, not measurements of other products: the same physics, their way to decide. One run, RNG seed 1.';

function conditions({ code, date, machine, rngSeeds }: Results): string {
  const commit = `${code.commit.slice(0, 12)}${code.changed ? ' with changes that are not committed' : ''}`;
  return [
    `- commit ${commit}, ${date}, RNG seeds ${rngSeeds.join(', ')}`,
    `- ${machine.cpu}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}, ${machine.system}, Node ${machine.node.replace(/^v/, '')}`,
  ].join('\n');
}

function verdict(scenarios: readonly ScenarioResult[]): string {
  const asked = scenarios.filter((result) => isMet(result) !== undefined);
  const missed = asked.filter((result) => isMet(result) === false);
  if (asked.length === 0) return '';
  const met = `${asked.length - missed.length} of ${asked.length} rows with a target meet it`;
  const names = missed.map(({ scenario, profile }) => `${scenario.name} (${profile})`);
  return missed.length === 0 ? `${met}.` : `${met}; not so: ${names.join('; ')}.`;
}

function scenarioRow(result: ScenarioResult): string[] {
  const { scenario, profile, worst, checks } = result;
  const met = isMet(result);
  const targets = checks.map(({ field, atMost }) => `${fieldName(field)} ≤ ${amount(field, atMost)}`);
  const verdicts = [
    targets.length === 0 ? 'reported only' : targets.join(', '),
    checks.map(checkText).join(', '),
    met === undefined ? '' : met ? 'yes' : '**no**',
  ];
  if (worst === undefined) {
    return [scenario.name, profile, ...Array<string>(7).fill(''), ...verdicts, '', '', ''];
  }
  const { report, command } = worst;
  return [
    scenario.name,
    profile,
    report.idealSeconds.toFixed(3),
    ...ratios(report),
    `${report.originRatio.toFixed(2)}x`,
    // Without zones nothing can cross between them.
    scenario.flags.includes('--zones') ? `${report.crossZoneRatio.toFixed(2)}x` : '–',
    ...verdicts,
    report.wallSeconds.toFixed(0),
    formatBytes(report.peakRssBytes),
    `\`${command}\``,
  ];
}

function comparisonRow(report: Report): string[] {
  return [
    report.strategy,
    ...ratios(report),
    report.seconds.p50.toFixed(2),
    report.seconds.p999.toFixed(2),
    report.firstByteSeconds.p99.toFixed(2),
    `${report.originRatio.toFixed(2)}x`,
    report.originRequestsPerNode.toFixed(2),
    `${report.uploadMaxRatio.toFixed(2)}x`,
  ];
}

function ratios({ ratio }: Report): string[] {
  return [ratio.p50, ratio.p99, ratio.p999, ratio.max].map((value) => value.toFixed(3));
}

/** `**p99.9 1.091 (RNG seed 2)**` when missed, `p99.9 1.055` when met. */
function checkText({ field, worst, rngSeed, met }: Check): string {
  const figure = `${fieldName(field)} ${amount(field, worst, 3)}`;
  return met ? figure : `**${figure} (RNG seed ${rngSeed})**`;
}

function fieldName(field: Field): string {
  const name = FIELD_NAMES[field];
  if (name !== undefined) return name;
  const [group, percentile] = field.split('.');
  const short = percentile === 'p999' ? 'p99.9' : (percentile ?? '');
  return group === 'firstByteSeconds' ? `first byte ${short}` : short;
}

function amount(field: Field, value: number, digits?: number): string {
  const text = digits === undefined ? String(Number(value.toFixed(4))) : value.toFixed(digits);
  if (/seconds/i.test(field)) return `${text} s`;
  return field === 'originRatio' || field === 'crossZoneRatio' ? `${text}x` : text;
}

function failures(scenarios: readonly ScenarioResult[]): string[] {
  const lines = scenarios.flatMap(({ scenario, profile, failures: failed }) =>
    failed.map(
      ({ rngSeed, reason }) => `- ${scenario.name}, ${profile}, RNG seed ${rngSeed}: ${inline(reason)}`,
    ),
  );
  return lines.length === 0 ? [] : [`Runs that did not end well:\n\n${lines.join('\n')}`];
}

function pictures({ pictures: drawn }: Results, names: readonly string[]): string[] {
  return names.filter((name) => drawn.has(name)).map((name) => `![${PICTURES[name] ?? name}](${name})`);
}

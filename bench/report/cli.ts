import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DamselflyError } from '../../lib/core/errors.ts';
import { parseCount } from '../fixtures/command-line.ts';
import { PROFILES } from '../simulate/profile.ts';
import type { ProfileName } from './jobs.ts';
import { COMPARISON, type ReportScenario, SCENARIOS } from './scenarios.ts';

/** What the command line asks for. */
export interface ReportFlags {
  readonly scenarios: readonly ReportScenario[];
  readonly profiles: readonly ProfileName[];
  /** Of the numbers of nodes. */
  readonly scale: number;
  readonly parallel: number;
  readonly fresh: boolean;
  readonly json: boolean;
  /** The page to write; pictures go beside it. Undefined: the page goes to standard output, pictures nowhere. */
  readonly out: string | undefined;
}

/** The pages of the project: written by a whole report only. */
const PAGES = join(import.meta.dirname, '..', '..', 'docs', 'benchmarks');
export const DEFAULT_PAGE = join(PAGES, 'simulation.md');
export const DATA_PAGE = join(PAGES, 'data-plane.md');

export const HELP = `Runs the simulator on all scenarios, each with three RNG seeds and both profiles, checks their targets, and writes
docs/benchmarks/simulation.md with its pictures; then measures all rows of bench:data with real processes, and writes
docs/benchmarks/data-plane.md. What was simulated is kept in .bench/report/ for the same commit: after an
interruption it goes on where it stopped.

  npm run bench:report
  npm run bench:report -- --only crash
  npm run bench:report -- --nodes-scale 0.1

  --jobs N            runs at the same time, a few hundred MB each (cores - 1)
  --only NAME         scenarios whose name contains NAME; may be given more than once
  --profiles NAMES    reference,daemon
  --nodes-scale X     that share of the nodes, above 0 and up to 1: for a quick try
  --out FILE          write the page there, and its pictures beside it
  --fresh             do not use results of earlier reports
  --json              one JSON object on stdout

With --only, --profiles or --nodes-scale the page goes to stdout unless --out says where, and no row is measured.
Exit code 0: all runs ended, whether or not they met their targets; 1: some did not; 2: wrong usage; 130: interrupted.
`;

/** @returns undefined when help is asked for. @throws CONFIG_INVALID, or what parseArgs throws */
export function readFlags(args: readonly string[]): ReportFlags | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      jobs: { type: 'string', default: String(Math.max(1, availableParallelism() - 1)) },
      only: { type: 'string', multiple: true, default: [] },
      profiles: { type: 'string', default: 'reference,daemon' },
      'nodes-scale': { type: 'string', default: '1' },
      out: { type: 'string' },
      fresh: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const scenarios = readOnly(values.only);
  const profiles = readProfiles(values.profiles);
  const scale = readScale(values['nodes-scale']);
  const whole = values.only.length === 0 && scale === 1 && profiles.length === Object.keys(PROFILES).length;
  const page = whole ? DEFAULT_PAGE : undefined;
  return {
    scenarios,
    profiles,
    scale,
    parallel: parseCount('--jobs', values.jobs),
    fresh: values.fresh,
    json: values.json,
    out: values.out === undefined ? page : resolve(values.out),
  };
}

function readOnly(names: readonly string[]): ReportScenario[] {
  const all = [...SCENARIOS, COMPARISON];
  if (names.length === 0) return all;
  const wanted = names.map((name) => {
    const found = all.filter((scenario) => scenario.name.toLowerCase().includes(name.toLowerCase()));
    if (found.length === 0) {
      throw wrong('only', name, `a part of one of these: ${all.map((scenario) => scenario.name).join('; ')}`);
    }
    return found;
  });
  return all.filter((scenario) => wanted.flat().includes(scenario));
}

function readProfiles(text: string): ProfileName[] {
  const names = text.split(',').map((name) => name.trim());
  const known = Object.values(PROFILES).map(({ name }) => name);
  if (!names.every((name) => known.some((each) => each === name))) {
    throw wrong('profiles', text, `some of ${known.join(',')}`);
  }
  return known.filter((name) => names.includes(name));
}

function readScale(text: string): number {
  const scale = text.trim() === '' ? Number.NaN : Number(text);
  if (!(scale > 0 && scale <= 1)) throw wrong('nodes-scale', text, 'a number above 0 and up to 1');
  return scale;
}

function wrong(flag: string, text: string, expected: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `--${flag}: got ${JSON.stringify(text)}; expected ${expected}`);
}

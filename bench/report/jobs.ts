import { parseBytes } from '../../lib/config/units.ts';
import type { Profile } from '../simulate/profile.ts';
import { simulatedBlob } from '../simulate/scenario.ts';
import { COMPARISON, type ReportScenario, RNG_SEEDS } from './scenarios.ts';

export type ProfileName = Profile['name'];

/** One run of the simulator. */
export interface Job {
  readonly scenario: ReportScenario;
  readonly profile: ProfileName;
  readonly rngSeed: number;
  /** Of the simulator, but for `--json` and `--plot`. */
  readonly args: readonly string[];
  /** Whether the picture is wanted, too. */
  readonly plot: boolean;
  /** Pieces that all nodes receive: how long it may take, compared with others. */
  readonly work: number;
}

const LEAST_NODES = 20;

/**
 * All runs of a report, the long ones first, so that none is left over at the end.
 * @param scale of the number of nodes, above 0 and up to 1
 */
export function jobsFor(
  scenarios: readonly ReportScenario[],
  profiles: readonly ProfileName[],
  scale: number,
): Job[] {
  return scenarios
    .flatMap((scenario) =>
      scenario === COMPARISON
        ? [job(scenario, 'reference', RNG_SEEDS[0]!, scale, true)]
        : profiles.flatMap((profile, i) =>
            RNG_SEEDS.map((rngSeed, j) =>
              job(scenario, profile, rngSeed, scale, scenario.plot !== undefined && i === 0 && j === 0),
            ),
          ),
    )
    .sort((a, b) => b.work - a.work);
}

/** What to type for that run. */
export function commandOf({ args }: Job): string {
  return `npm run bench:sim -- ${args.join(' ')}`;
}

export function nameOf({ scenario, profile, rngSeed }: Job): string {
  return `${scenario.name}, ${profile}, RNG seed ${rngSeed}`;
}

function job(
  scenario: ReportScenario,
  profile: ProfileName,
  rngSeed: number,
  scale: number,
  plot: boolean,
): Job {
  const flags = scaledFlags(scenario.flags, scale).split(' ');
  const args = [...flags, '--profile', profile, '--rng-seed', String(rngSeed)];
  return { scenario, profile, rngSeed, args, plot, work: workOf(flags) };
}

function scaledFlags(flags: string, scale: number): string {
  if (scale === 1) return flags;
  return flags.replace(/(?<=--nodes )\d+/, (nodes) =>
    String(Math.min(Number(nodes), Math.max(LEAST_NODES, Math.round(Number(nodes) * scale)))),
  );
}

function workOf(flags: readonly string[]): number {
  const valueOf = (flag: string): string | undefined =>
    flags.includes(flag) ? flags[flags.indexOf(flag) + 1] : undefined;
  const pieceText = valueOf('--piece-bytes');
  const pieceBytes = pieceText === undefined ? undefined : parseBytes(pieceText);
  const sizes = (valueOf('--layers') ?? valueOf('--blob-bytes') ?? '1GiB').split(',').map(parseBytes);
  const pieces = sizes.map((size) => simulatedBlob(size, pieceBytes).pieces);
  return Number(valueOf('--nodes') ?? 1000) * pieces.reduce((sum, each) => sum + each, 0);
}

import type { Profile } from '../simulate/profile.ts';
import type { Percentiles, Report } from '../simulate/report.ts';
import type { Field, Target } from './scenarios.ts';

/** A target and the figure of the RNG seed that is farthest from it. */
export interface Check {
  readonly field: Field;
  /** Of this profile. */
  readonly atMost: number;
  readonly worst: number;
  readonly rngSeed: number;
  readonly met: boolean;
}

/** With the costs of real daemons each p99.9 may be so much higher, in physical limits. */
const DAEMON_ALLOWANCE = 0.03;

export function valueOf(report: Report, field: Field): number {
  switch (field) {
    case 'originRatio':
    case 'crossZoneRatio':
      return report[field];
    case 'makespanRatio':
      return report.makespanSeconds / report.idealSeconds;
    default: {
      const [group, percentile] = field.split('.') as [
        'ratio' | 'seconds' | 'firstByteSeconds',
        keyof Percentiles,
      ];
      return report[group][percentile];
    }
  }
}

/** Each target against the runs of all RNG seeds with one profile. A figure that is not a number is a miss. */
export function checkTargets(
  targets: readonly Target[],
  profile: Profile['name'],
  runs: readonly Report[],
): Check[] {
  return targets.flatMap(({ field, atMost, daemonAtMost }) => {
    const worst = mostOf(runs, (run) => valueOf(run, field));
    if (worst === undefined) return [];
    const own = profile === 'daemon' ? daemonAtMost : undefined;
    const limit = own ?? atMost + allowance(field, profile, worst);
    const value = valueOf(worst, field);
    return [{ field, atMost: limit, worst: value, rngSeed: worst.rngSeed, met: value <= limit }];
  });
}

/** The run of the RNG seed with the highest p99.9; of equals the one with the highest maximum. */
export function worstRun(runs: readonly Report[]): Report | undefined {
  const most = mostOf(runs, ({ ratio }) => ratio.p999);
  return mostOf(
    runs.filter(({ ratio }) => most !== undefined && Object.is(ratio.p999, most.ratio.p999)),
    ({ ratio }) => ratio.max,
  );
}

function allowance(field: Field, profile: Profile['name'], { idealSeconds }: Report): number {
  if (profile !== 'daemon') return 0;
  if (field === 'ratio.p999') return DAEMON_ALLOWANCE;
  return field === 'seconds.p999' ? DAEMON_ALLOWANCE * idealSeconds : 0;
}

/** The first of those with the highest value; what is not a number counts as higher than any. */
function mostOf(runs: readonly Report[], value: (run: Report) => number): Report | undefined {
  const rank = (run: Report): number => (Number.isFinite(value(run)) ? value(run) : Number.POSITIVE_INFINITY);
  return runs.reduce<Report | undefined>(
    (most, run) => (most === undefined || rank(run) > rank(most) ? run : most),
    undefined,
  );
}

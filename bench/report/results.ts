import type { Report } from '../simulate/report.ts';
import { commandOf, type Job, type ProfileName } from './jobs.ts';
import type { CodeVersion, Machine } from './machine.ts';
import type { JobOutcome } from './runner.ts';
import { COMPARISON, type ReportScenario } from './scenarios.ts';
import { type Check, checkTargets, worstRun } from './targets.ts';

/** A scenario with one profile, over all RNG seeds. */
export interface ScenarioResult {
  readonly scenario: ReportScenario;
  readonly profile: ProfileName;
  /** The run with the highest p99.9, and what to type for it; undefined when none ended well. */
  readonly worst: { readonly report: Report; readonly command: string } | undefined;
  readonly checks: readonly Check[];
  /** Runs that did not end well. */
  readonly failures: readonly { readonly rngSeed: number; readonly reason: string }[];
}

/** All that a report says. */
export interface Results {
  readonly code: CodeVersion;
  /** `2026-11-21` */
  readonly date: string;
  readonly machine: Machine;
  readonly rngSeeds: readonly number[];
  /** Of the numbers of nodes; below 1 in a quick try. */
  readonly scale: number;
  readonly scenarios: readonly ScenarioResult[];
  readonly comparison: { readonly command: string; readonly reports: readonly Report[] } | undefined;
  /** File name -> SVG. */
  readonly pictures: ReadonlyMap<string, string>;
}

/** Brings the runs together, in the order of `scenarios`. */
export function collect(
  scenarios: readonly ReportScenario[],
  profiles: readonly ProfileName[],
  outcomes: ReadonlyMap<Job, JobOutcome>,
): Pick<Results, 'scenarios' | 'comparison' | 'pictures'> {
  const pictures = new Map<string, string>();
  for (const [job, outcome] of outcomes) {
    const svg = outcome.kind === 'done' ? outcome.result.svg : undefined;
    if (svg !== undefined && job.scenario.plot !== undefined) pictures.set(job.scenario.plot, svg);
  }
  const compared = [...outcomes].find(([{ scenario }]) => scenario === COMPARISON);
  return {
    scenarios: scenarios
      .filter((scenario) => scenario !== COMPARISON)
      .flatMap((scenario) => profiles.map((profile) => scenarioResult(scenario, profile, outcomes))),
    comparison:
      compared?.[1].kind === 'done'
        ? { command: commandOf(compared[0]), reports: compared[1].result.reports }
        : undefined,
    pictures,
  };
}

function scenarioResult(
  scenario: ReportScenario,
  profile: ProfileName,
  outcomes: ReadonlyMap<Job, JobOutcome>,
): ScenarioResult {
  const own = [...outcomes]
    .filter(([job]) => job.scenario === scenario && job.profile === profile)
    .sort(([a], [b]) => a.rngSeed - b.rngSeed);
  const runs = own.flatMap(([job, outcome]) =>
    outcome.kind === 'done' ? outcome.result.reports.slice(0, 1).map((report) => ({ job, report })) : [],
  );
  const reports = runs.map(({ report }) => report);
  const worst = runs.find(({ report }) => report === worstRun(reports));
  return {
    scenario,
    profile,
    worst: worst && { report: worst.report, command: commandOf(worst.job) },
    checks: checkTargets(scenario.targets, profile, reports),
    failures: own.flatMap(([{ rngSeed }, outcome]) =>
      outcome.kind === 'failed' ? [{ rngSeed, reason: outcome.reason }] : [],
    ),
  };
}

/** Whether a scenario did what it should; undefined when nothing is asked of it. */
export function isMet({ scenario, checks, failures }: ScenarioResult): boolean | undefined {
  if (failures.length > 0) return false;
  return scenario.targets.length === 0 ? undefined : checks.every(({ met }) => met);
}

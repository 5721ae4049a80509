import { dirname, join, relative } from 'node:path';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { Disk } from '../../lib/store/disk/disk.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { writePage as writeDataPage } from '../micro/page.ts';
import { ROWS } from '../micro/rows.ts';
import { runRows } from '../micro/run-rows.ts';
import { openCache } from './cache.ts';
import { DATA_PAGE, DEFAULT_PAGE, type ReportFlags } from './cli.ts';
import { type Job, jobsFor, nameOf } from './jobs.ts';
import { codeVersion, describeMachine } from './machine.ts';
import { reportMarkdown } from './markdown.ts';
import { createProgress } from './progress.ts';
import { collect, isMet, type Results } from './results.ts';
import { type JobOutcome, runJobs, simulateInChild } from './runner.ts';
import { RNG_SEEDS } from './scenarios.ts';
import { writeText } from './text-file.ts';

/** Interleaved pairs for each row. */
const DATA_RUNS = 5;
const CACHE_FOLDER = join(import.meta.dirname, '..', '..', '.bench', 'report');
const CODE_CHANGED = 'The code changed while it ran: figures of two versions would be mixed. Start it again.';

/** The whole command. @returns whether all runs ended well */
export async function runReport(flags: ReportFlags, signal: AbortSignal): Promise<boolean> {
  const { scenarios, profiles, scale, parallel, fresh } = flags;
  const disk = createNodeDisk();
  const code = await codeVersion();
  const jobs = jobsFor(scenarios, profiles, scale);
  const cache = await openCache(disk, CACHE_FOLDER, { code: code.key, fresh });
  const progress = createProgress(jobs, createSystemClock(), process.stderr);
  let outcomes: ReadonlyMap<Job, JobOutcome>;
  try {
    outcomes = await runJobs(jobs, {
      ...{ parallel, cache, signal, events: progress },
      async simulate(job, stop) {
        const outcome = await simulateInChild(job, disk, stop);
        if ((await codeVersion()).key !== code.key) throw new Error(CODE_CHANGED);
        return outcome;
      },
    });
  } finally {
    progress.stop();
    await cache.close();
  }
  const results: Results = {
    ...collect(scenarios, profiles, outcomes),
    ...{ code, scale, rngSeeds: RNG_SEEDS, machine: describeMachine() },
    date: new Date().toISOString().slice(0, 10),
  };
  const page = reportMarkdown(results);
  if (flags.out !== undefined) await writePage(disk, flags.out, page, results);
  if (flags.json) process.stdout.write(`${JSON.stringify(jsonOf(results, outcomes))}\n`);
  else if (flags.out === undefined) process.stdout.write(page);
  const done = [...outcomes.values()].every(({ kind }) => kind === 'done');
  return flags.out === DEFAULT_PAGE ? (await measureData(signal)) && done : done;
}

/** The rows with real processes, after the simulations: they need the machine for themselves. */
async function measureData(signal: AbortSignal): Promise<boolean> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const results = await runRows(ROWS, { runs: DATA_RUNS, signal }, { say });
  await writeDataPage(DATA_PAGE, ROWS, results);
  say(`Written: ${relative(process.cwd(), DATA_PAGE)}`);
  return results.failures.length === 0;
}

async function writePage(disk: Disk, path: string, page: string, { pictures }: Results): Promise<void> {
  const folder = dirname(path);
  await disk.makeFolder(folder);
  for (const [name, svg] of pictures) await writeText(disk, join(folder, name), svg);
  await writeText(disk, path, page);
  process.stderr.write(`Written: ${relative(process.cwd(), path)}, ${[...pictures.keys()].join(', ')}\n`);
}

/** The figures of the page for a script; pictures are left out. */
function jsonOf(results: Results, outcomes: ReadonlyMap<Job, JobOutcome>): object {
  const { scenarios, code, date, machine, rngSeeds, scale, comparison } = results;
  return {
    ...{ code, date, machine, rngSeeds, scale, comparison: comparison ?? null },
    scenarios: scenarios.map((result) => ({
      name: result.scenario.name,
      profile: result.profile,
      met: isMet(result) ?? null,
      checks: result.checks,
      worst: result.worst ?? null,
    })),
    failures: [...outcomes].flatMap(([job, outcome]) =>
      outcome.kind === 'failed' ? [{ name: nameOf(job), reason: outcome.reason }] : [],
    ),
  };
}

import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { exitCodeOf, interruptSignal, parseCount } from '../fixtures/command-line.ts';
import { openCache } from '../report/cache.ts';
import { commandOf, type Job } from '../report/jobs.ts';
import { codeVersion, describeMachine } from '../report/machine.ts';
import { createProgress } from '../report/progress.ts';
import { type JobOutcome, runJobs, simulateInChild } from '../report/runner.ts';
import { writeText } from '../report/text-file.ts';
import { adviseOn, type Trial } from './advice.ts';
import { CLUSTERS, type Cluster, SUPERNODES, sizingJob } from './clusters.ts';
import { type SizingRow, sizingPage } from './page.ts';

const PAGE = join(import.meta.dirname, '..', '..', 'docs', 'benchmarks', 'sizing.md');
const CACHE_FOLDER = join(import.meta.dirname, '..', '..', '.bench', 'sizing');
const HELP = `How many supernodes, trackers and how much time a cluster of a given size takes: simulates clusters of ${CLUSTERS[0]?.nodes} to ${CLUSTERS.at(-1)?.nodes} nodes,
each with ${SUPERNODES.join(', ')} supernodes, and writes docs/benchmarks/sizing.md. Quarter of an hour on two cores; what was simulated
is kept in .bench/sizing/ for the same commit.

  npm run bench:sizing
  npm run bench:sizing -- --nodes-most 1000 --json

  --nodes-most N      leaves larger clusters out; the page goes to stdout then
  --jobs N            runs at the same time, a few hundred MB each (cores - 1)
  --out FILE          write the page there
  --json              one JSON object on stdout
`;

const signal = interruptSignal();
try {
  const { values } = parseArgs({
    options: {
      'nodes-most': { type: 'string' },
      jobs: { type: 'string', default: String(Math.max(1, availableParallelism() - 1)) },
      out: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const most = values['nodes-most'];
  const nodes = most === undefined ? Number.POSITIVE_INFINITY : parseCount('--nodes-most', most);
  const whole = most === undefined && !values.json ? PAGE : undefined;
  const out = values.out === undefined ? whole : resolve(values.out);
  if (values.help) process.stdout.write(HELP);
  else await size(nodes, parseCount('--jobs', values.jobs), { out, json: values.json });
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = exitCodeOf(error, signal);
}

/** @throws Error when a run failed, with what the simulator said */
async function size(
  mostNodes: number,
  parallel: number,
  { json, out }: { readonly out: string | undefined; readonly json: boolean },
): Promise<void> {
  const disk = createNodeDisk();
  const code = await codeVersion();
  const clusters = CLUSTERS.filter(({ nodes }) => nodes <= mostNodes);
  const trials = clusters.flatMap((cluster) =>
    SUPERNODES.map((supernodes) => ({ cluster, supernodes, job: sizingJob(cluster, supernodes) })),
  );
  const jobs = trials.map(({ job }) => job).sort((a, b) => b.work - a.work);
  const cache = await openCache(disk, CACHE_FOLDER, { code: code.key, fresh: false });
  const progress = createProgress(jobs, createSystemClock(), process.stderr);
  let outcomes: ReadonlyMap<Job, JobOutcome>;
  try {
    const simulate = (job: Job, stop: AbortSignal): Promise<JobOutcome> => simulateInChild(job, disk, stop);
    outcomes = await runJobs(jobs, { parallel, cache, signal, events: progress, simulate });
  } finally {
    progress.stop();
    await cache.close();
  }
  const rows = clusters.map((cluster) =>
    rowOf(
      cluster,
      trials.filter((trial) => trial.cluster === cluster),
      outcomes,
    ),
  );
  const date = new Date().toISOString().slice(0, 10);
  const page = sizingPage(rows, { code, date, machine: describeMachine() });
  if (out !== undefined) {
    await disk.makeFolder(dirname(out));
    await writeText(disk, out, page);
    process.stderr.write(`Written: ${relative(process.cwd(), out)}\n`);
  }
  if (json) process.stdout.write(`${JSON.stringify({ code, date, rows })}\n`);
  else if (out === undefined) process.stdout.write(page);
}

function rowOf(
  cluster: Cluster,
  jobs: readonly { readonly job: Job; readonly supernodes: number }[],
  outcomes: ReadonlyMap<Job, JobOutcome>,
): SizingRow {
  const trials = jobs.map(({ job, supernodes }): Trial => {
    const outcome = outcomes.get(job);
    if (outcome?.kind !== 'done') throw new Error(`${job.scenario.name}: ${outcome?.reason ?? 'not run'}`);
    const { idealSeconds, makespanSeconds } = outcome.result.reports[0]!;
    return { supernodes, seconds: makespanSeconds, limitSeconds: idealSeconds };
  });
  const advice = adviseOn(cluster, trials);
  const chosen = jobs.find(({ supernodes }) => supernodes === advice.supernodes)!;
  return { cluster, advice, command: commandOf(chosen.job) };
}

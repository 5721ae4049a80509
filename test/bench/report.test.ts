import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { type JobResult, openCache, type ResultCache } from '../../bench/report/cache.ts';
import { commandOf, type Job, jobsFor } from '../../bench/report/jobs.ts';
import { reportMarkdown } from '../../bench/report/markdown.ts';
import { createProgress } from '../../bench/report/progress.ts';
import { collect, isMet, type Results } from '../../bench/report/results.ts';
import { type JobOutcome, runJobs, simulateInChild } from '../../bench/report/runner.ts';
import { COMPARISON, type ReportScenario, SCENARIOS } from '../../bench/report/scenarios.ts';
import { checkTargets, valueOf, worstRun } from '../../bench/report/targets.ts';
import { readText, writeText } from '../../bench/report/text-file.ts';
import { simulateCli } from '../../bench/simulate/cli.ts';
import type { Report } from '../../bench/simulate/report.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';

/** A report with that p99.9; the rest follows from it. */
function canned(rngSeed: number, p999: number, change: Partial<Report> = {}): Report {
  const spread = { p50: p999 - 0.03, p99: p999 - 0.01, p999, max: p999 + 0.01 };
  return {
    profile: 'reference',
    strategy: 'damselfly',
    rngSeed,
    nodes: 100,
    nodesCounted: 100,
    pieces: 768,
    idealSeconds: 10,
    seconds: { p50: spread.p50 * 10, p99: spread.p99 * 10, p999: p999 * 10, max: spread.max * 10 },
    ratio: spread,
    firstByteSeconds: { p50: 0.1, p99: 0.2, p999: 0.3, max: 0.4 },
    makespanSeconds: spread.max * 10,
    originRatio: 1,
    originRequestsPerNode: 5,
    crossZoneRatio: 0,
    uploadMaxRatio: 1.04,
    piecesRejected: 0,
    bans: 0,
    wallSeconds: 12.3,
    peakRssBytes: 120 * 1024 * 1024,
    ...change,
  };
}

const CROWD: ReportScenario = {
  name: 'a crowd',
  flags: '--nodes 100 --blob-bytes 3GiB',
  targets: [
    { field: 'ratio.p999', atMost: 1.06 },
    { field: 'originRatio', atMost: 1.2 },
  ],
  plot: 'simulation-crowd.svg',
};
const TINY: ReportScenario = { name: 'tiny', flags: '--nodes 20 --blob-bytes 16MiB', targets: [] };

const NEVER = new AbortController().signal;
const QUIET = { started: () => {}, ended: () => {} };
const done = (...reports: Report[]): JobOutcome => ({ kind: 'done', result: { reports }, cached: false });

function resultsOf(outcomes: ReadonlyMap<Job, JobOutcome>, scenarios: readonly ReportScenario[]): Results {
  return {
    ...collect(scenarios, ['reference'], outcomes),
    code: { commit: '0123456789abcdef', changed: false, key: '0123456789abcdef' },
    date: '2026-11-21',
    machine: { cpu: 'A CPU', cores: 4, memoryBytes: 8 * 1024 ** 3, system: 'Linux 6', node: 'v24.0.0' },
    rngSeeds: [1, 2, 3],
    scale: 1,
  };
}

await t.test('the run with the worst p99.9 is shown, of equals the one with the worst maximum', async (t) => {
  t.equal(worstRun([canned(1, 1.05), canned(2, 1.07), canned(3, 1.06)])?.rngSeed, 2);
  const higher = canned(3, 1.05, { ratio: { p50: 1, p99: 1, p999: 1.05, max: 1.5 } });
  t.equal(worstRun([canned(1, 1.05), canned(2, 1.05), higher])?.rngSeed, 3);
  t.equal(worstRun([]), undefined);
});

await t.test('a target must hold for every RNG seed', async (t) => {
  const runs = [canned(1, 1.05, { originRatio: 1.3 }), canned(2, 1.06), canned(3, 1.04)];
  t.same(checkTargets(CROWD.targets, 'reference', runs), [
    { field: 'ratio.p999', atMost: 1.06, worst: 1.06, rngSeed: 2, met: true },
    // Not that of the run with the worst p99.9.
    { field: 'originRatio', atMost: 1.2, worst: 1.3, rngSeed: 1, met: false },
  ]);
  t.equal(checkTargets(CROWD.targets, 'reference', [canned(1, 1.0601)])[0]?.met, false);
});

await t.test('a target of its own for daemons counts instead of what they may have more', async (t) => {
  const targets = [{ field: 'ratio.p999', atMost: 1.06, daemonAtMost: 1.07 }] as const;
  const run = canned(1, 1.075);
  t.match(checkTargets(targets, 'daemon', [run]), [{ atMost: 1.07, met: false }]);
  t.match(checkTargets(targets, 'daemon', [canned(1, 1.07)]), [{ met: true }]);
  t.match(checkTargets(targets, 'reference', [run]), [{ atMost: 1.06, met: false }]);
});

await t.test('with the costs of daemons only p99.9 may be higher, by 0.03 of the limit', async (t) => {
  const targets = [
    { field: 'ratio.p999', atMost: 1.06 },
    { field: 'seconds.p999', atMost: 10.6 },
    { field: 'ratio.max', atMost: 1.08 },
  ] as const;
  const checks = checkTargets(targets, 'daemon', [canned(1, 1.085)]);
  t.same(
    checks.map(({ atMost, met }) => [atMost.toFixed(3), met]),
    [
      ['1.090', true],
      ['10.900', true],
      ['1.080', false],
    ],
  );
  t.same(
    checkTargets(targets, 'reference', [canned(1, 1.085)]).map(({ met }) => met),
    [false, false, false],
  );
});

await t.test('every field has its value; one that is not a number misses its target', async (t) => {
  const run = canned(1, 1.05, { crossZoneRatio: 3, makespanSeconds: 11 });
  t.equal(valueOf(run, 'seconds.p999'), 10.5);
  t.equal(valueOf(run, 'firstByteSeconds.p99'), 0.2);
  t.equal(valueOf(run, 'crossZoneRatio'), 3);
  t.equal(valueOf(run, 'makespanRatio'), 1.1);
  const broken = canned(2, Number.NaN);
  t.match(checkTargets([{ field: 'ratio.p999', atMost: 1.06 }], 'reference', [run, broken]), [
    { rngSeed: 2, met: false },
  ]);
});

await t.test('every scenario has flags that the simulator takes, and a name of its own', async (t) => {
  const all = [...SCENARIOS, COMPARISON];
  t.equal(new Set(all.map(({ name }) => name)).size, all.length);
  for (const job of jobsFor(all, ['reference', 'daemon'], 1)) {
    let rngSeed = 0;
    simulateCli(({ scenario }) => {
      rngSeed = scenario.rngSeed;
      t.equal(scenario.profile.name, job.profile);
    }).parse(job.args, { from: 'user' });
    t.equal(rngSeed, job.rngSeed, commandOf(job));
  }
});

await t.test('a report is all scenarios with all seeds and profiles, the long runs first', async (t) => {
  const jobs = jobsFor([TINY, CROWD, COMPARISON], ['reference', 'daemon'], 1);
  t.equal(jobs.length, 2 * 3 * 2 + 1);
  t.same(
    jobs.map(({ work }) => work),
    jobs.map(({ work }) => work).toSorted((a, b) => b - a),
  );
  t.same(
    jobs.filter(({ plot }) => plot).map(({ scenario }) => scenario.name),
    [COMPARISON.name, CROWD.name],
  );
  const [scaled] = jobsFor([CROWD], ['daemon'], 0.5);
  t.equal(
    commandOf(scaled!),
    'npm run bench:sim -- --nodes 50 --blob-bytes 3GiB --profile daemon --rng-seed 1',
  );
  t.match(commandOf(jobsFor([CROWD], ['daemon'], 0.001)[0]!), /--nodes 20 /);
});

await t.test('the page shows the worst run, its exact command, and what was missed', async (t) => {
  const jobs = jobsFor([CROWD, COMPARISON], ['reference'], 1);
  const outcomes = new Map(
    jobs.map((job): [Job, JobOutcome] => {
      if (job.scenario === COMPARISON) {
        return [job, done(canned(1, 1.05), canned(1, 2.5, { strategy: 'a | b' }))];
      }
      const result = {
        reports: [canned(job.rngSeed, 1.05 + job.rngSeed / 100)],
        svg: `<svg>${job.rngSeed}</svg>`,
      };
      return [job, { kind: 'done', result, cached: true }];
    }),
  );
  const results = resultsOf(outcomes, [CROWD, COMPARISON]);
  const page = reportMarkdown(results);
  t.match(
    page,
    '| a crowd | reference | 10.000 | 1.050 | 1.070 | 1.080 | 1.090 | 1.00x | – | p99.9 ≤ 1.06, registry ≤ 1.2x | ' +
      '**p99.9 1.080 (RNG seed 3)**, registry 1.000x | **no** | 12 | 120.0 MiB | ' +
      '`npm run bench:sim -- --nodes 100 --blob-bytes 3GiB --profile reference --rng-seed 3` |',
  );
  t.match(page, '0 of 1 rows with a target meet it; not so: a crowd (reference).');
  t.match(
    page,
    '- commit 0123456789ab, 2026-11-21, RNG seeds 1, 2, 3\n- A CPU, 4 cores, 8.0 GiB, Linux 6, Node 24.0.0',
  );
  t.match(page, '| a \\| b | 2.470 |');
  t.match(page, '](simulation-crowd.svg)');
  t.notMatch(page, 'simulation-compare.svg', 'there is no such picture');
  t.notMatch(page, /undefined|NaN|\[object/);
  t.equal(page, reportMarkdown(results));
  for (const [row] of page.matchAll(/^\|.*\|$/gm)) {
    t.ok([12, 16].includes(row.split(/(?<!\\)\|/).length - 1), row);
  }
});

await t.test('a quick try, changed code and runs that failed are told on the page', async (t) => {
  const jobs = jobsFor([CROWD], ['reference'], 1);
  const outcomes = new Map(
    jobs.map((job): [Job, JobOutcome] => [
      job,
      job.rngSeed === 2
        ? { kind: 'failed', reason: 'INTERNAL: the simulated swarm\ncame to a halt' }
        : done(canned(job.rngSeed, 1.05)),
    ]),
  );
  const results = resultsOf(outcomes, [CROWD]);
  t.equal(isMet(results.scenarios[0]!), false);
  const page = reportMarkdown({ ...results, scale: 0.1, code: { ...results.code, changed: true } });
  t.match(page, '**A quick try with 0.1 of the nodes');
  t.match(page, 'commit 0123456789ab with changes that are not committed');
  t.match(page, '- a crowd, reference, RNG seed 2: INTERNAL: the simulated swarm came to a halt');
  t.match(page, '| **no** |');
});

await t.test('results are kept for the same command and commit, over an interruption', async (t) => {
  const disk = createMemoryDisk();
  const [first, second] = jobsFor([CROWD], ['reference'], 1) as [Job, Job, Job];
  const open = (code: string, fresh = false) => openCache(disk, 'kept', { code, fresh });
  const result: JobResult = { reports: [canned(1, 1.05)], svg: '<svg/>' };
  const cache = await open('abc');
  await Promise.all([cache.add(first, result), cache.add(second, { reports: [canned(2, 1.07)] })]);
  await cache.close();
  // An interruption left half a line, longer than the next one.
  const half = `{"key":"abc ${'x'.repeat(5000)}`;
  await writeText(disk, 'kept/runs.jsonl', `${await readText(disk, 'kept/runs.jsonl')}${half}`);

  const again = await open('abc');
  t.same(again.get(first), result);
  t.same(again.get(second)?.reports[0]?.rngSeed, 2);
  t.equal(again.get({ ...first, args: [...first.args, '--zones', '2'] }), undefined, 'other flags');
  t.equal(again.get({ ...first, plot: !first.plot }), undefined, 'a picture is another result');
  await again.add(first, { reports: [canned(1, 1.99)] });
  await again.close();

  t.equal((await open('abd')).get(first), undefined, 'another commit');
  t.equal((await open('abc', true)).get(first), undefined, 'fresh');
  t.equal((await open('abc')).get(first)?.reports[0]?.ratio.p999, 1.99, 'the last one counts');
  t.equal((await open('abc')).get(second)?.reports[0]?.rngSeed, 2, 'the half line did no harm');
  t.notMatch(await readText(disk, 'kept/runs.jsonl'), /xxx/);
});

await t.test('jobs run so many at a time; those in the cache do not run', async (t) => {
  const jobs = jobsFor([CROWD, TINY], ['reference', 'daemon'], 1);
  const cache = await openCache(createMemoryDisk(), 'kept', { code: 'abc', fresh: false });
  await cache.add(jobs[1]!, { reports: [canned(7, 1.01)] });
  const started: Job[] = [];
  let [running, most] = [0, 0];
  const outcomes = await runJobs(jobs, {
    parallel: 3,
    cache,
    signal: NEVER,
    events: { started: (job) => void started.push(job), ended: () => {} },
    async simulate(job) {
      most = Math.max(most, ++running);
      await setImmediate();
      running--;
      return job === jobs[2] ? { kind: 'failed', reason: 'no' } : done(canned(job.rngSeed, 1.05));
    },
  });
  t.equal(most, 3);
  t.same(
    started,
    jobs.filter((job) => job !== jobs[1]),
  );
  t.match(outcomes.get(jobs[1]!), { kind: 'done', cached: true, result: { reports: [{ rngSeed: 7 }] } });
  t.match(outcomes.get(jobs[2]!), { kind: 'failed', reason: 'no' });
  t.equal(cache.get(jobs[2]!), undefined, 'a failure is not kept');
  t.not(cache.get(jobs[3]!), undefined);
});

await t.test('an interruption ends what is under way and begins nothing more', async (t) => {
  const abort = new AbortController();
  const cache = await openCache(createMemoryDisk(), 'kept', { code: 'abc', fresh: false });
  let [started, ended] = [0, 0];
  const report = runJobs(jobsFor([CROWD], ['reference', 'daemon'], 1), {
    parallel: 2,
    cache,
    signal: abort.signal,
    events: { started: () => {}, ended: () => t.fail('no job came to its end') },
    async simulate() {
      if (++started === 2) abort.abort(new Error('interrupted'));
      await setImmediate();
      ended++;
      return { kind: 'failed', reason: 'killed' };
    },
  });
  await t.rejects(report, { message: 'interrupted' });
  t.same([started, ended], [2, 2]);
});

await t.test('after an error nothing more begins', async (t) => {
  const jobs = jobsFor([CROWD], ['reference', 'daemon'], 1);
  const cache: ResultCache = {
    get: () => undefined,
    add: (job) => (job === jobs[0] ? Promise.reject(new Error('the disk is full')) : Promise.resolve()),
    close: async () => {},
  };
  const started: Job[] = [];
  const report = runJobs(jobs, {
    ...{ parallel: 2, cache, signal: NEVER, events: QUIET },
    async simulate(job) {
      started.push(job);
      if (job !== jobs[0]) await setImmediate();
      return done(canned(job.rngSeed, 1.05));
    },
  });
  await t.rejects(report, { message: 'the disk is full' });
  t.same(started, jobs.slice(0, 2));
});

await t.test('the real simulator runs in a process of its own; the second report runs nothing', async (t) => {
  const disk = createNodeDisk();
  const scenario = { ...TINY, plot: 'tiny.svg' };
  const jobs = jobsFor([scenario], ['reference'], 1);
  const folder = t.testdir();
  const make = async (simulate: (job: Job, signal: AbortSignal) => Promise<JobOutcome>) => {
    const cache = await openCache(disk, folder, { code: 'abc', fresh: false });
    const outcomes = await runJobs(jobs, { parallel: 1, cache, simulate, events: QUIET, signal: NEVER });
    await cache.close();
    return collect([scenario], ['reference'], outcomes);
  };
  const first = await make((job, signal) => simulateInChild(job, disk, signal));
  t.same(first.scenarios[0]!.failures, []);
  const { report } = first.scenarios[0]!.worst!;
  t.match(report, { profile: 'reference', strategy: 'damselfly', nodes: 20, originRatio: 1 });
  t.ok(report.ratio.p50 >= 1 && report.ratio.p999 < 3, JSON.stringify(report.ratio));
  t.match(first.pictures.get('tiny.svg'), /^<svg .*<\/svg>\n$/s);
  const second = await make(async () => t.fail('ran again') as never);
  t.same(second, first);
});

await t.test('what the simulator says when it fails is told; an abort ends its process', async (t) => {
  const [job] = jobsFor([TINY], ['reference'], 1) as [Job];
  const disk = createNodeDisk();
  const failed = await simulateInChild({ ...job, args: ['--nodes', '0'] }, disk, NEVER);
  t.match(failed, { kind: 'failed', reason: /--nodes: got "0"; expected / });
  const killed = await simulateInChild({ ...job, args: ['--nodes', '5000'] }, disk, AbortSignal.abort());
  t.same(killed, { kind: 'failed', reason: 'it ended with SIGKILL' });
});

await t.test('progress says what ended, how many are left and how long they may take', async (t) => {
  const jobs = jobsFor([CROWD], ['reference'], 1);
  const clock = new FakeClock();
  let text = '';
  const progress = createProgress(jobs, clock, { write: (piece) => (text += piece) });
  progress.started(jobs[0]!);
  clock.after(5000, () => {});
  clock.advanceToNext();
  progress.ended(jobs[0]!, done(canned(1, 1.05)));
  progress.ended(jobs[1]!, { kind: 'done', result: { reports: [canned(2, 1.06)] }, cached: true });
  progress.ended(jobs[2]!, { kind: 'failed', reason: 'no' });
  progress.stop();
  t.equal(
    text,
    '[1/3] a crowd, reference, RNG seed 1: p99.9 1.050, took 12.3 s; 2 left, ETA 10.0 s\n' +
      '[2/3] a crowd, reference, RNG seed 2: p99.9 1.060, from an earlier report; 1 left, ETA 5.0 s\n' +
      '[3/3] a crowd, reference, RNG seed 3: FAILED: no\n',
  );
});

await t.test('on a terminal a line shows what is running', async (t) => {
  const jobs = jobsFor([CROWD], ['reference'], 1);
  const clock = new FakeClock();
  let text = '';
  const progress = createProgress(jobs, clock, {
    isTTY: true,
    columns: 200,
    write: (piece) => (text += piece),
  });
  progress.started(jobs[0]!);
  text = '';
  clock.advanceToNext();
  t.equal(
    text,
    '\r\u001b[K0 of 3 done, 3 left, ETA unknown; running: a crowd, reference, RNG seed 1 (1.0 s)',
  );
  progress.stop();
  t.equal(clock.pending, 0, 'nothing after the end');
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { createTapReader, type FileResult } from './tap-summary.ts';
import { extendPath, provideTools } from './test-tools.ts';

// `npm test`: all tests but those of test/soak, which take minutes each; `npm test -- test/store`: those whose path
// begins so. Everything but the end-to-end tests runs in parallel; those start whole clusters and real container
// clients, so they take turns. A few files that fail are run once more, one at a time: what holds alone and not beside
// others is told as such, and does not fail the run.

const UNIT_TIMEOUT_SECONDS = 300;
const E2E_TIMEOUT_SECONDS = 420;
const SOAK = 'test/soak/';
/** More failures than these are no accident of a busy machine. */
const MOST_TRIED_AGAIN = 4;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
/** By file; the last run of a file counts. */
const results = new Map<string, FileResult>();

/** @returns whether tap itself was content */
async function runTap(files: readonly string[], flags: readonly string[]): Promise<boolean> {
  if (files.length === 0) return true;
  const tap = spawn('tap', ['run', '--disable-coverage', '--reporter=tap', ...flags, ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const tapReader = createTapReader((result) => {
    results.set(result.file, result);
    const skipped = result.skipped.length === 0 ? '' : `, ${result.skipped.length} skipped`;
    const counts = `${result.passed} passed, ${result.failed} failed${skipped}`;
    say(
      `${result.failed === 0 ? 'ok' : 'NOT OK'} ${result.file} (${counts}, ${result.seconds.toFixed(1)} s)`,
    );
    if (result.failed > 0) say(result.output);
  });
  const reader = createInterface({ input: tap.stdout }).on('line', tapReader.line);
  const stop = (): void => void tap.kill('SIGTERM');
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const [[code]] = (await Promise.all([once(tap, 'exit'), once(reader, 'close')])) as [
    [number | null],
    unknown,
  ];
  tapReader.end();
  process.off('SIGINT', stop).off('SIGTERM', stop);
  return code === 0;
}

extendPath();
const wanted = process.argv.slice(2);
const isWanted = (file: string): boolean =>
  wanted.length === 0 ? !file.startsWith(SOAK) : wanted.some((prefix) => file.startsWith(prefix));
const files = globSync('test/**/*.test.ts').sort().filter(isWanted);
const e2e = files.filter((file) => file.startsWith('test/e2e/') || file.startsWith(SOAK));
const unit = files.filter((file) => !e2e.includes(file));
if (e2e.length > 0) provideTools(say, e2e);
const unitRun = await runTap(unit, [`--jobs=${availableParallelism()}`, `--timeout=${UNIT_TIMEOUT_SECONDS}`]);
const e2eRun = await runTap(e2e, ['--jobs=1', `--timeout=${E2E_TIMEOUT_SECONDS}`]);
let held = unitRun && e2eRun;

const failing = files.filter((file) => (results.get(file)?.failed ?? 1) > 0);
if (!held && failing.length > 0 && failing.length <= MOST_TRIED_AGAIN) {
  say(`Once more, alone: ${failing.join(', ')}`);
  for (const file of failing) results.delete(file);
  held = await runTap(failing, ['--jobs=1', `--timeout=${E2E_TIMEOUT_SECONDS}`]);
  const unsteady = failing.filter((file) => results.get(file)?.failed === 0);
  if (unsteady.length > 0) say(`UNSTEADY, failed beside others and passed alone: ${unsteady.join(', ')}`);
}

const ended = [...results.values()];
const skipped = ended.flatMap((result) => result.skipped.map((reason) => `  ${result.file}: ${reason}`));
if (skipped.length > 0) say(`${skipped.length} skipped:\n${skipped.join('\n')}`);
const unseen = files.filter((file) => !results.has(file));
if (unseen.length > 0) say(`Without a result: ${unseen.join(', ')}`);
const passed = ended.reduce((sum, result) => sum + result.passed, 0);
const reported = ended.reduce((sum, result) => sum + result.failed, 0) + unseen.length;
// tap's own verdict counts even when no test file is to blame.
const failed = held ? reported : Math.max(reported, 1);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
say(`${passed} passed, ${failed} failed`);

import { type ChildProcess, fork } from 'node:child_process';
import type { Outcome } from './simulate.ts';

/** What a worker is given; it answers each seed with its outcome, in order. */
export interface Work {
  readonly seeds: readonly number[];
  readonly stalls?: boolean | undefined;
  readonly identities?: boolean | undefined;
}

export interface WorkersOptions {
  readonly program: string;
  readonly firstSeed: number;
  readonly seeds: number;
  readonly jobs: number;
  readonly stalls?: boolean | undefined;
  readonly identities?: boolean | undefined;
  /** A seed that takes longer fails, milliseconds. @default 120,000 */
  readonly silentMs?: number;
}

/** Seeds that a worker is given at once. */
const BATCH = 8;
/** A world that has ended keeps what waits in it, since its clock stands still: then a worker makes way for another. */
const BATCHES_A_WORKER = 40;
/** Of real time, milliseconds: most seeds take less than one second. */
const SILENT_MS = 120_000;

/** Simulates seeds in several processes. One that never answers, or dies, fails its seed, and another goes on. */
export async function runWorkers(
  { firstSeed, identities, jobs, program, seeds, silentMs = SILENT_MS, stalls }: WorkersOptions,
  onOutcome: (outcome: Outcome) => void,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const end = firstSeed + seeds;
  let next = firstSeed;
  const take = (): number[] => {
    const batch = Array.from({ length: Math.min(BATCH, end - next) }, (_, index) => next + index);
    next += batch.length;
    return batch;
  };
  const note = (outcome: Outcome): void => {
    outcomes.push(outcome);
    onOutcome(outcome);
  };
  const worker = async (): Promise<void> => {
    for (let batch = take(); batch.length > 0; ) {
      const child = fork(program, { execArgv: ['--max-semi-space-size=16'] });
      let lost: number | undefined;
      for (let given = 0; batch.length > 0 && lost === undefined && given < BATCHES_A_WORKER; given++) {
        const answered = await ask(child, { seeds: batch, stalls, identities }, silentMs, note);
        batch = batch.slice(answered.seeds);
        if (answered.problem !== undefined) {
          lost = batch.shift();
          if (lost !== undefined) note(failed(lost, answered.problem));
        }
        if (batch.length === 0) batch = take();
      }
      if (lost === undefined) child.disconnect();
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, Math.ceil(seeds / BATCH)) }, worker));
  return outcomes;
}

interface Answered {
  readonly seeds: number;
  /** Why the others have no outcome: the process is gone. */
  readonly problem?: string;
}

/** Has a worker simulate a batch. */
function ask(
  child: ChildProcess,
  work: Work,
  silentMs: number,
  onOutcome: (outcome: Outcome) => void,
): Promise<Answered> {
  const { promise, resolve } = Promise.withResolvers<Answered>();
  let seeds = 0;
  let silent = false;
  const watchdog = setTimeout(() => {
    silent = true;
    // What spins does not hear anything gentler.
    child.kill('SIGKILL');
  }, silentMs);
  const end = (problem?: string): void => {
    clearTimeout(watchdog);
    child.off('message', heard);
    child.off('exit', exited);
    resolve(problem === undefined ? { seeds } : { seeds, problem });
  };
  const heard = (outcome: unknown): void => {
    watchdog.refresh();
    seeds++;
    onOutcome(outcome as Outcome);
    if (seeds === work.seeds.length) end();
  };
  const exited = (code: number | null, signal: string | null): void =>
    end(silent ? `silent for ${silentMs / 1000} s` : `its process ended with ${signal ?? code}`);
  child.on('message', heard);
  child.on('exit', exited);
  if (child.connected) child.send(work, () => {});
  else exited(child.exitCode, child.signalCode);
  return promise;
}

function failed(seed: number, message: string): Outcome {
  return {
    ...{ seed, violation: { invariant: 'process-lost', message, atMs: 0, step: 0 } },
    ...{ hash: '', steps: 0, simulatedMs: 0, pulls: 0, attempts: 0, longestWaitMs: 0, registryRatio: 0 },
  };
}

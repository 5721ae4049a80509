import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { LineCoverage } from './coverage.ts';
import { createInputs } from './generate.ts';
import { regressionsOf } from './regressions.ts';
import type { FuzzTarget } from './target.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** No progress for so long: one input hangs the parser. */
const HANG_MS = 10_000;
const LOOK_MS = 500;
/** A parser that keeps what it read, or makes much of little, ends here. */
const MAX_HEAP_MIB = 512;

export interface FuzzRun {
  readonly runs: number;
  readonly seconds: number;
  readonly seed: number;
}

export interface WorkerTask extends FuzzRun {
  readonly name: string;
  readonly root: string;
  /** One 32-bit number: the input that is being read. */
  readonly progress: SharedArrayBuffer;
}

export interface FoundInput {
  readonly index: number;
  readonly problem: string;
  readonly input: Uint8Array;
}

export interface TargetResult {
  readonly name: string;
  readonly inputs: number;
  readonly seconds: number;
  readonly coverage: LineCoverage;
  readonly findings: readonly FoundInput[];
}

/** All there are, by name. */
export function targetNames(): string[] {
  return globSync('*.ts', { cwd: join(import.meta.dirname, 'targets') })
    .map((file) => basename(file, '.ts'))
    .sort();
}

export async function loadTarget(name: string): Promise<FuzzTarget> {
  return ((await import(`./targets/${name}.ts`)) as { readonly target: FuzzTarget }).target;
}

/** Feeds one target in a thread of its own. Never rejects: a thread that dies or hangs is a finding. */
export async function runTarget(name: string, run: FuzzRun): Promise<TargetResult> {
  const progress = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const at = new Int32Array(progress);
  const startMs = performance.now();
  const task: WorkerTask = { ...run, name, root: ROOT, progress };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: task,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
  });
  const ended = Promise.withResolvers<Pick<TargetResult, 'inputs' | 'coverage' | 'findings'>>();
  const lost = async (problem: string): Promise<void> => {
    const index = Atomics.load(at, 0);
    const inputs = createInputs(await loadTarget(name), regressionsOf(name), run.seed);
    const findings = [{ index, problem, input: inputs.at(index) }];
    ended.resolve({ inputs: index, coverage: { lines: 0, reached: 0, missed: [] }, findings });
  };
  worker.once('message', ended.resolve);
  worker.once('error', (error) => void lost(`the thread ended: ${String(error)}`).catch(ended.reject));
  let seen = -1;
  let sinceMs = startMs;
  const watch = setInterval(() => {
    const now = performance.now();
    const index = Atomics.load(at, 0);
    if (index !== seen) [seen, sinceMs] = [index, now];
    else if (now - sinceMs > HANG_MS) void lost('does not come to an end').catch(ended.reject);
  }, LOOK_MS);
  try {
    const result = await ended.promise;
    return { name, seconds: (performance.now() - startMs) / 1000, ...result };
  } finally {
    clearInterval(watch);
    await worker.terminate();
  }
}

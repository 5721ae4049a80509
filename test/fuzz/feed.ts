import { setImmediate } from 'node:timers/promises';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { Coverage } from './coverage.ts';
import { type LineCoverage } from './coverage.ts';
import type { Inputs } from './generate.ts';
import type { FuzzTarget } from './target.ts';

/** More of a processor's time for one input, three times in a row, is a finding. */
const MAX_INPUT_MS = 250;
/** Memory that one long input may take. */
const MAX_INPUT_BYTES = 96 * 1024 * 1024;
/** Inputs whose lines are counted. */
const COVERED_INPUTS = 20_000;
/** The clock is looked at only so often, and the event loop let go on, without which weak references hold what they name. */
const PAUSE_EVERY = 64;
const MAX_FINDINGS = 5;

export interface Finding {
  readonly index: number;
  readonly problem: string;
}

export interface Fed {
  readonly inputs: number;
  readonly coverage: LineCoverage;
  readonly findings: readonly Finding[];
}

/** Feeds a target its inputs, `runs` of them or for `seconds`, and at least its corpus. */
export async function feed(
  target: FuzzTarget,
  inputs: Inputs,
  limits: { readonly runs: number; readonly seconds: number },
  options: {
    readonly root: string;
    /** Counts lines while the module is loaded too. */
    readonly coverage: Coverage;
    readonly progress: (index: number) => void;
  },
): Promise<Fed> {
  const findings = new Map<string, Finding>();
  const endMs = performance.now() + limits.seconds * 1000;
  let lines: LineCoverage | undefined;
  let index = 0;
  for (; index < Math.max(limits.runs, inputs.first); index++) {
    if (index % PAUSE_EVERY === 0) {
      await setImmediate();
      if (index > inputs.first && performance.now() >= endMs) break;
    }
    if (findings.size >= MAX_FINDINGS) break;
    if (index === COVERED_INPUTS) lines = await options.coverage.end(options.root, target.parsers);
    options.progress(index);
    const problem = await problemWith(target, inputs.at(index), inputs.isLarge(index));
    // One of a kind: the first line of the stack says where.
    if (problem !== undefined && !findings.has(problem)) findings.set(problem, { index, problem });
  }
  lines ??= await options.coverage.end(options.root, target.parsers);
  return { inputs: index, coverage: lines, findings: [...findings.values()] };
}

async function problemWith(target: FuzzTarget, input: Buffer, isLarge: boolean): Promise<string | undefined> {
  const before = isLarge ? takenBytes() : 0;
  const first = await timed(target, input);
  if (first.problem !== undefined) return first.problem;
  if (isLarge) {
    const bytes = takenBytes() - before;
    if (bytes > MAX_INPUT_BYTES) return `an input of ${input.length} bytes takes ${bytes >> 20} MiB`;
  }
  if (first.ms <= MAX_INPUT_MS) return undefined;
  // Another process may have had the machine, and collecting garbage takes its time too.
  const cpuMs: number[] = [];
  for (let tries = 0; tries < 3; tries++) {
    const before = process.threadCpuUsage();
    await timed(target, input);
    const { system, user } = process.threadCpuUsage(before);
    cpuMs.push((system + user) / 1000);
  }
  return Math.min(...cpuMs) > MAX_INPUT_MS ? `an input of ${input.length} bytes takes too long` : undefined;
}

async function timed(
  target: FuzzTarget,
  input: Buffer,
): Promise<{ readonly ms: number; readonly problem?: string }> {
  const startMs = performance.now();
  try {
    const result = target.parse(input);
    if (result instanceof Promise) await result;
  } catch (error) {
    const known = error instanceof DamselflyError && target.refuses?.includes(error.code) === true;
    if (!known) return { ms: 0, problem: told(error) };
  }
  return { ms: performance.now() - startMs };
}

/** The error and where it was thrown. */
function told(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${String(error)}`;
  const code = error instanceof DamselflyError ? `${error.code}: ` : '';
  const where = /\n\s+at (.*)/.exec(error.stack ?? '')?.[1] ?? '';
  return `${error.name}: ${code}${error.message.slice(0, 300)} (${where.replace(/\(?file:.*?\/([\w-]+\.[jt]s:\d+).*/, '$1')})`;
}

function takenBytes(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}

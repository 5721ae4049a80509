import { DamselflyError, describeError, type ErrorCode } from '../core/errors.ts';
import { EXIT } from '../runtime/system-process.ts';

/** Mistakes of whoever typed the command, as opposed to failures of the world. */
const USAGE: ReadonlySet<ErrorCode> = new Set(['CONFIG_INVALID', 'REFERENCE_INVALID', 'DIGEST_INVALID']);

/** Tells what went wrong: a line for people on stderr, or an object for machines on stdout. */
export function printError(error: unknown, json: boolean): void {
  if (!json) {
    process.stderr.write(`${describeError(error)}\n`);
    return;
  }
  const known = error instanceof DamselflyError;
  const told = known
    ? { code: error.code, message: error.message, facts: error.facts }
    : { code: 'INTERNAL', message: describeError(error), facts: {} };
  process.stdout.write(`${JSON.stringify({ error: told })}\n`);
}

/** Runs what a command does: a failure is told and becomes the exit code of the process. */
export async function orFail(json: boolean, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    printError(error, json);
    process.exitCode = exitCodeOf(error);
  }
}

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof DamselflyError)) return EXIT.failed;
  if (error.code === 'ABORTED') return EXIT.interrupted;
  return USAGE.has(error.code) ? EXIT.usage : EXIT.failed;
}

import { DamselflyError, describeError, type ErrorCode } from '../../lib/core/errors.ts';
import { type FetchedFile, REASONS } from './fetch-file.ts';

/** Codes of dfget 1 for what failed: before anything was asked; asking for the file; bringing it (dfget/config/constants.go). */
const FAILED = { prepare: 1101, register: 1103, download: 1104 } as const;
/** Its reasons for going to the source that ours have no place for; with `--notbs` what would have been one, and a thousand. */
const WRONG_DIGEST = 2;
const NOT_WRITTEN = 6;
const SOURCE_FAILED = 10;
const NOT_TO_SOURCE = 1000;

const KNOWN: Partial<Record<ErrorCode, readonly [code: number, reason: number]>> = {
  CONFIG_INVALID: [FAILED.prepare, 0],
  FILE_FAILED: [FAILED.prepare, NOT_WRITTEN],
  DAEMON_UNREACHABLE: [FAILED.register, REASONS.noDaemon + NOT_TO_SOURCE],
  UPSTREAM_UNKNOWN: [FAILED.register, REASONS.notShared + NOT_TO_SOURCE],
  BLOB_UNKNOWN: [FAILED.register, REASONS.notShared + NOT_TO_SOURCE],
  DIGEST_MISMATCH: [FAILED.download, WRONG_DIGEST],
  UPSTREAM_REFUSED: [FAILED.download, SOURCE_FAILED],
  UPSTREAM_UNREACHABLE: [FAILED.download, SOURCE_FAILED],
  UPSTREAM_BROKEN: [FAILED.download, SOURCE_FAILED],
};

/** The last line of Dragonfly's dfget 1. Its exit codes are these codes there; here they are ours. */
export function closingLine(result: FetchedFile | { readonly error: unknown }, elapsedMs: number): string {
  const cost = `cost:${(elapsedMs / 1000).toFixed(3)}s`;
  if (!('error' in result)) {
    return `download SUCCESS(0) ${cost} length:${result.bytes} reason:${result.reason}`;
  }
  const { error } = result;
  const known = error instanceof DamselflyError ? KNOWN[error.code] : undefined;
  const [code, reason] = known ?? [FAILED.download, REASONS.brokeOff];
  return `download FAIL(${code}) ${cost} length:0 reason:${reason} error:${describeError(error)}`;
}

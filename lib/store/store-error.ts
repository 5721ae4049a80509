import { DamselflyError, type ErrorCode, type Facts } from '../core/errors.ts';

/** What a failed file or record operation means to the store's caller, with the cause. */
export function storeError(cause: unknown, action: string, facts: Facts = {}): DamselflyError {
  if (cause instanceof DamselflyError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const [code, message] = meaning((cause as { code?: unknown } | null)?.code, reason, action);
  return new DamselflyError(code, message, facts, { cause });
}

/** LevelDB tells what is wrong only in the system's words, not by an errno name. */
function meaning(errno: unknown, reason: string, action: string): [ErrorCode, string] {
  if (errno === 'ENOSPC' || errno === 'EDQUOT' || /no space left|quota exceeded/i.test(reason)) {
    return ['STORE_FULL', `the disk is full: could not ${action}`];
  }
  if (errno === 'EROFS' || /read-only file system/i.test(reason)) {
    return [
      'STORE_READ_ONLY',
      `the disk takes no writes: could not ${action}; mount it writable or choose another --data-dir`,
    ];
  }
  return ['STORE_FAILED', `could not ${action}: ${reason}`];
}

import { DamselflyError, type Facts } from '../core/errors.ts';

const FULL_CODES: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

/** What a failed file or record operation means to the store's caller: STORE_FULL or STORE_FAILED, with the cause. */
export function storeError(cause: unknown, action: string, facts: Facts = {}): DamselflyError {
  if (cause instanceof DamselflyError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  // LevelDB tells a full disk only by the system's message, not by an errno name.
  const full =
    FULL_CODES.has((cause as { code?: unknown }).code) || /no space left|quota exceeded/i.test(reason);
  return full
    ? new DamselflyError('STORE_FULL', `the disk is full: could not ${action}`, facts, { cause })
    : new DamselflyError('STORE_FAILED', `could not ${action}: ${reason}`, facts, { cause });
}

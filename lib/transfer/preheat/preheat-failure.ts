import { DamselflyError, describeError } from '../../core/errors.ts';
import { MAX_REASON_CHARS, type PreheatFailure } from '../../wire/preheat-messages.ts';

/** What is told of an error to others: its code and its sentence. */
export function preheatFailure(error: unknown): PreheatFailure {
  const known = error instanceof DamselflyError;
  const message = known ? error.message : describeError(error);
  return { code: known ? error.code : 'INTERNAL', message: message.slice(0, MAX_REASON_CHARS) };
}

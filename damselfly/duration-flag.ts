import { parseDuration } from '../lib/config/units.ts';
import { DamselflyError } from '../lib/core/errors.ts';

/** A longer one is a mistake. */
const MAX_MS = 366 * 24 * 60 * 60_000;

/** Milliseconds that a flag like `--ttl 24h` asks for. @throws CONFIG_INVALID */
export function durationOf(flag: string, text: string): number {
  let durationMs: number;
  try {
    durationMs = parseDuration(text);
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `${flag}: ${(error as Error).message}`);
  }
  if (durationMs > 0 && durationMs <= MAX_MS) return durationMs;
  throw new DamselflyError('CONFIG_INVALID', `${flag}: got ${text}; expected more than 0 and at most a year`);
}

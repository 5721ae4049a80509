import { abortedError } from '../core/errors.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import type { Rng } from '../runtime/rng.ts';
import { discard } from './exchange.ts';
import type { OriginResponse } from './origin-client.ts';

/** Clients give up on a mirror that sends no headers within 5 s: one second of it is left for the answer. */
const PATIENCE_MS = 4_000;
const FIRST_WAIT_MS = 250;
/** The registry is busy, not unwilling. */
const BUSY = [429, 503];

/**
 * Asks again, later and later and never two nodes at the same time, while the registry says that it is busy: for up to
 * 4 s, and not before its Retry-After. Clients told of a 429 would come back at once, all together.
 * @returns the last answer, whatever it is
 * @throws what `ask` throws; ABORTED
 */
export async function askPatiently(
  { clock, rng }: { readonly clock: Clock; readonly rng: Rng },
  ask: () => Promise<OriginResponse>,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const endMs = clock.now() + PATIENCE_MS;
  for (let attempt = 0; ; attempt++) {
    const response = await ask();
    if (!BUSY.includes(response.status)) return response;
    const leastMs = Math.max(FIRST_WAIT_MS * 2 ** attempt, retryAfterMs(response));
    const waitMs = leastMs * (1 + rng.float());
    if (clock.now() + waitMs > endMs) return response;
    await discard(response);
    await delay(clock, waitMs, signal).catch(() => {
      throw abortedError(signal);
    });
  }
}

/** Seconds only: a date would have to be compared with the registry's clock. */
function retryAfterMs({ headers }: OriginResponse): number {
  const value = headers['retry-after'];
  return typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) * 1000 : 0;
}

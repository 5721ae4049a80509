import { abortedError } from '../lib/core/errors.ts';
import { discard } from '../lib/origin/exchange.ts';
import type { OriginResponse } from '../lib/origin/origin-client.ts';
import { type Clock, delay } from '../lib/runtime/clock.ts';

/** Clients give up on a mirror that sends no headers within 5 s: two of them are left for the last answer. */
const PATIENCE_MS = 3_000;
const FIRST_WAIT_MS = 100;
const LONGER_EACH_TIME = 1.3;

/**
 * Asks again, later and later for up to 3 s, while the registry answers 500: of a registry behind a balancer, one part
 * may fail and the next not, and a client that is told of it once fails the whole pull.
 * @returns the last answer, whatever it is
 * @throws what `ask` throws; ABORTED
 */
export async function askAgain(
  clock: Clock,
  ask: () => Promise<OriginResponse>,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const endMs = clock.now() + PATIENCE_MS;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs *= LONGER_EACH_TIME) {
    const response = await ask();
    if (response.status !== 500 || clock.now() + waitMs > endMs) return response;
    await discard(response);
    await delay(clock, waitMs, signal).catch(() => {
      throw abortedError(signal);
    });
  }
}

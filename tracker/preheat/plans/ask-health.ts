import { describeError } from '../../../lib/core/errors.ts';
import type { Clock } from '../../../lib/runtime/clock.ts';
import { withDeadline } from '../../../lib/runtime/deadline.ts';

const DEADLINE_MS = 10_000;

/** Asks a URL whether all is well. @returns why not; undefined when it answered 200 itself */
export async function askHealth(clock: Clock, url: URL, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await withDeadline(clock, DEADLINE_MS, signal, async (either) => {
      // Nobody may lead us elsewhere: this machine may reach what others cannot.
      const answer = await fetch(url, { redirect: 'manual', signal: either });
      await answer.body?.cancel();
      return answer.status === 200 ? undefined : `it answered ${answer.status}`;
    });
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return `it did not answer: ${describeError(cause)}`.slice(0, 300);
  }
}

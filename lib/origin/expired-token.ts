import { hasCode } from '../core/errors.ts';
import { readBody } from './exchange.ts';
import type { OriginResponse } from './origin-client.ts';

/** Registries say it in a line. */
const MAX_WORDS_BYTES = 4 * 1024;
const EXPIRED = /token has expired/i;

/**
 * Whether an answer means that the Authorization has run out: a 401, and a 403 whose body says so, which is how Amazon
 * ECR tells it. The answer can be used as it was.
 */
export async function askedToLogIn(
  response: OriginResponse,
): Promise<{ readonly again: boolean; readonly response: OriginResponse }> {
  if (response.status !== 403) return { again: response.status === 401, response };
  try {
    const bytes = await readBody(response, MAX_WORDS_BYTES);
    const again = EXPIRED.test(new TextDecoder().decode(bytes));
    return { again, response: { ...response, body: inOne(bytes) } };
  } catch (error) {
    if (hasCode(error, 'ABORTED')) throw error;
    // Too long to be that, or broken off: what there was of it is of no use to anybody.
    return { again: false, response: { ...response, body: inOne(new Uint8Array()) } };
  }
}

async function* inOne(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

import type { OriginResponse } from './origin-client.ts';

/** Registries say it in a line. */
const MAX_WORDS_BYTES = 4 * 1024;
const EXPIRED = /token has expired/i;

/**
 * Whether an answer means that the Authorization has run out: a 401, and a 403 whose body says so, which is how Amazon
 * ECR tells it. The answer that comes back has the whole body still to be read.
 * @throws what reading the body throws
 */
export async function askedToLogIn(
  response: OriginResponse,
): Promise<{ readonly again: boolean; readonly response: OriginResponse }> {
  if (response.status !== 403) return { again: response.status === 401, response };
  const rest = response.body[Symbol.asyncIterator]();
  const read: Uint8Array[] = [];
  let bytes = 0;
  while (bytes <= MAX_WORDS_BYTES) {
    const next = await rest.next();
    if (next.done === true) break;
    read.push(next.value);
    bytes += next.value.length;
  }
  const again = EXPIRED.test(Buffer.concat(read).toString());
  return { again, response: { ...response, body: inOrder(read, rest) } };
}

async function* inOrder(
  first: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* first;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

import type { OriginResponse } from './origin-client.ts';

/** A registry's answer that is here already; `head`: without its body. */
export function answerOf(
  status: number,
  mediaType: string,
  bytes: Uint8Array,
  head: boolean,
  more: Readonly<Record<string, string>> = {},
): OriginResponse {
  const headers = { 'content-type': mediaType, 'content-length': String(bytes.length), ...more };
  async function* body(): AsyncGenerator<Uint8Array> {
    if (!head) yield bytes;
  }
  return { status, headers, body: body() };
}

/** A registry's refusal (distribution-spec, "Error Codes"). */
export function refusalOf(status: number, code: string, message: string): OriginResponse {
  return answerOf(
    status,
    'application/json',
    Buffer.from(JSON.stringify({ errors: [{ code, message }] })),
    false,
  );
}

export async function* noBody(): AsyncGenerator<Uint8Array> {}

import type { OriginResponse } from '../../../lib/origin/origin-client.ts';
import { requestToken } from '../../../lib/origin/token-request.ts';
import { type FuzzTarget, promise } from '../target.ts';

const signal = new AbortController().signal;
const question = { realm: new URL('https://auth.corp/token'), service: 's', scope: 'x', secret: undefined };

export const target: FuzzTarget = {
  about: 'what a token service answers',
  parsers: { 'lib/origin/token-request.ts': ['tokenOf'], 'lib/origin/exchange.ts': ['readBody'] },
  form: 'json',
  corpus: [
    '{"token":"abc","expires_in":300}',
    '{"access_token":"abc","refresh_token":"r","expires_in":-1}',
    '{"token":"a\\r\\nb"}',
    'null',
    '{',
  ],
  beyond: [' '.repeat(1024 * 1024 + 1)],
  refuses: ['UPSTREAM_BROKEN'],
  parse: async (input) => {
    async function* body() {
      yield input;
    }
    const response: OriginResponse = { status: 200, headers: {}, body: body() };
    const token = await requestToken(async () => response, question, signal);
    promise(token === undefined || /^[\x21-\x7e]+$/.test(token.value), 'a token can be sent in a header');
  },
};

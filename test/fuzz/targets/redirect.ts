import { followRedirects } from '../../../lib/origin/exchange.ts';
import type { OriginResponse } from '../../../lib/origin/origin-client.ts';
import { mayBeSentTo } from '../../../lib/origin/trust.ts';

import { type FuzzTarget, promise } from '../target.ts';

const signal = new AbortController().signal;
const from = new URL('https://harbor.corp/v2/a/blobs/x');

export const target: FuzzTarget = {
  about: 'where a registry redirects: the Location header',
  parsers: {
    'lib/origin/exchange.ts': ['followRedirects', 'redirected', 'discard'],
    'lib/origin/address-kind.ts': ['*'],
  },
  form: 'text',
  corpus: [
    ...[
      'https://storage.corp/x?sig=1',
      '/v2/other',
      '//b.corp/x',
      'http://user:pw@s.corp/',
      'ftp://x',
      'http://169.254.169.254/',
    ],
    ...[
      'http://[::ffff:169.254.169.254]/',
      'http://[fe80::1]/',
      'http://2852039166/',
      'http://0xa9fea9fe/',
      'https://harbor.corp/loop',
      '',
    ],
    ...[
      'http://[64:ff9b::169.254.169.254]/',
      'http://[2002:7f00:1::]/',
      'http://metadata.google.internal/',
      'http://[ff02::1]/',
      'http://224.0.0.1/',
    ],
    ...[
      'http://[::127.0.0.1]/',
      'http://[1:2:3:4:5:6:7:8]/',
      'http://localhost:22/',
      'http://100.100.100.200/',
    ],
  ],
  words: [
    'http://',
    'https:',
    '//',
    '@',
    '/',
    '..',
    '[',
    ']',
    '169.254.169.254',
    '::ffff:',
    '%',
    '\\',
    '#',
    '\t',
  ],
  maxBytes: 8192,
  refuses: ['UPSTREAM_BROKEN'],
  parse: async (input) => {
    const location = input.toString('latin1');
    const exchange = followRedirects(
      async ({ headers, url }): Promise<OriginResponse> => {
        const isOwn = url.origin === from.origin;
        promise(isOwn || headers['authorization'] === undefined, 'credentials stay with their host');
        promise(isOwn || mayBeSentTo(url, false), 'nobody is sent to this machine or its cloud');
        promise(url.username === '' && /^https?:$/.test(url.protocol), 'no credentials, no other scheme');
        async function* body() {
          yield Buffer.from('moved');
        }
        const again = url.href === from.href || url.pathname === '/loop';
        return { status: again ? 307 : 200, headers: again ? { location } : {}, body: body() };
      },
      (url) => !mayBeSentTo(url, false),
    );
    await exchange(
      { kind: 'blob', method: 'GET', url: from, headers: { authorization: 'Bearer x' } },
      signal,
    );
  },
};

import { isIP } from 'node:net';
import { parseAuthority, refusalOf, registryName } from '../../../registry-proxy/forward/destination.ts';
import { parseRule, ruleFor } from '../../../registry-proxy/forward/rules.ts';
import { type FuzzTarget, promise } from '../target.ts';

export const target: FuzzTarget = {
  about: 'whom CONNECT names, and the rules of the forward proxy',
  parsers: {
    'registry-proxy/forward/destination.ts': ['parseAuthority', 'registryName', 'refusalOf'],
    'registry-proxy/forward/rules.ts': ['*'],
  },
  form: 'text',
  corpus: [
    ...[
      'harbor.corp:443',
      '[::1]:443',
      '127.0.0.1:80',
      '0x7f.1:80',
      '2852039166:80',
      'a:0',
      'a:22',
      '[::ffff:1.2.3.4]:443',
    ],
    ...['direct ^https://a/', 'use-https direct .', 'wrong .', 'direct (', ''],
  ],
  words: [
    ':',
    '[',
    ']',
    '.',
    '0x',
    '%',
    '@',
    '443',
    '99999',
    '::',
    'ffff',
    '169.254.169.254',
    ' ',
    'direct ',
  ],
  maxBytes: 4096,
  parse: (input) => {
    const text = input.toString('latin1');
    const destination = parseAuthority(text);
    if (destination !== undefined) {
      registryName(destination, 443);
      const away = refusalOf(destination, false);
      if (isIP(destination.host) === 4 && /^(?:127|169\.254)\./.test(destination.host)) {
        promise(away !== undefined, 'no way to this machine or its cloud');
      }
    }
    // What a rule matches is an operator's own expression: only its reading is tested.
    const rule = parseRule(text);
    if (rule !== undefined) ruleFor([{ ...rule, pattern: /^x/ }], 'https://a/');
  },
};

import { formatIdentity, parseIdentity, peerIdOf, uriNames } from '../../../lib/security/identity.ts';
import { identityOf } from '../../../lib/security/member.ts';
import { type FuzzTarget, promise } from '../target.ts';

export const target: FuzzTarget = {
  about: 'the names in a certificate, as Node writes them, and the identity in one of them',
  parsers: { 'lib/security/identity.ts': ['*'], 'lib/security/member.ts': ['identityOf'] },
  form: 'text',
  corpus: [
    `URI:spiffe://corp/node/${'a1'.repeat(20)}`,
    'URI:spiffe://corp/supernode/s1/zone/z1, DNS:a.corp',
    'DNS:a, IP Address:10.0.0.1, URI:"spiffe://corp/node/a, URI:spiffe://corp/tracker/t"',
    'URI:spiffe://corp/node/a, URI:spiffe://corp/node/b',
    'URI:spiffe://corp/king/a/zone/z/x',
    'URI:spiffe://corp/node/a/zone/..',
    'URI:https://corp',
    `URI:spiffe://${'c'.repeat(3000)}/node/a`,
  ],
  words: [
    'URI:',
    'DNS:',
    ', ',
    '"',
    '\\',
    'spiffe://',
    '/',
    'node',
    'tracker',
    'zone',
    '..',
    '%2f',
    '\u0000',
  ],
  parse: (input) => {
    const subjectAltName = input.toString();
    for (const name of uriNames({ subjectAltName })) {
      const identity = parseIdentity(name);
      promise(identity === undefined || formatIdentity(identity) === name, 'an identity has one spelling');
    }
    const identity = identityOf({ subjectAltName });
    if (identity !== undefined) promise(/^[0-9a-f]{40}$/.test(peerIdOf(identity)), 'an id is 40 hex digits');
  },
};

import { generateKeyPairSync, sign } from 'node:crypto';
import { claimsOf, isBasic } from '../../../lib/origin/authorization.ts';
import { createTokenVerifier } from '../../../lib/origin/signed-token.ts';
import { type FuzzTarget, promise } from '../target.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const NOW_MS = 1_000_000_000;
const claims = {
  ...{ iss: 'auth.corp', aud: ['registry'], sub: 'alice', exp: NOW_MS / 1000 + 60, nbf: 1 },
  access: [{ type: 'repository', name: 'team/app', actions: ['pull'] }],
};
const grants = createTokenVerifier({
  issuer: 'auth.corp',
  service: 'registry',
  keys: [publicKey, rsa.publicKey]
    .map((key) => key.export({ type: 'spki', format: 'pem' }) as string)
    .join(''),
});
const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const token = (header: object, payload: object): string => {
  const signed = `${encoded(header)}.${encoded(payload)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `Bearer ${signed}.${signature.toString('base64url')}`;
};
const good = token({ alg: 'ES256' }, claims);
promise(grants(good, 'team/app', NOW_MS), 'the token of the corpus is good');

export const target: FuzzTarget = {
  about: 'the Authorization header of clients: what a token says of itself, and whether it may be believed',
  parsers: {
    'lib/origin/authorization.ts': ['claimsOf', 'isBasic'],
    'lib/origin/signed-token.ts': ['isMeant', 'grants', 'isSignedBy', 'decode', 'objectOf'],
  },
  form: 'text',
  corpus: [
    good,
    token({ alg: 'none' }, claims),
    token({ alg: 'RS256' }, claims),
    token({ alg: 'ES256', crit: [] }, claims),
    token({ alg: 'ES256' }, { ...claims, access: [null, 7, { actions: 'pull' }] }),
    token({ alg: 'ES256' }, { ...claims, access: 7, sub: '' }),
    token({ alg: 'ES256' }, { ...claims, exp: 'never', aud: 7 }),
    'Bearer bnVsbA.bnVsbA.bnVsbA',
    'Bearer e30.W10.x',
    'Basic dTpw',
    'Bearer opaque',
  ],
  words: [
    'Bearer ',
    'Basic ',
    '.',
    '=',
    '-',
    '_',
    encoded({ alg: 'HS256' }),
    encoded({}),
    encoded(null),
    'eyJ',
  ],
  parse: (input) => {
    const text = input.toString('latin1');
    isBasic(text);
    claimsOf(text);
    const signed = good.split(' ')[1] ?? '';
    const isGood =
      /^bearer +/i.test(text) &&
      text.replace(/^bearer +/i, '').startsWith(signed.slice(0, signed.lastIndexOf('.')));
    promise(!grants(text, 'team/app', NOW_MS) || isGood, 'only what was signed is believed');
  },
};

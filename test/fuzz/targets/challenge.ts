import { parseChallenges } from '../../../lib/origin/challenge.ts';
import type { FuzzTarget } from '../target.ts';

export const target: FuzzTarget = {
  about: 'the WWW-Authenticate header of registries',
  parsers: { 'lib/origin/challenge.ts': ['*'] },
  form: 'text',
  corpus: [
    'Bearer realm="https://auth.corp/token",service="registry",scope="repository:a/b:pull"',
    'Basic realm="x", Bearer realm="a\\"b" , error=invalid_token',
    'Negotiate, Basic realm=""',
    'Bearer realm="unterminated',
    '',
  ],
  words: ['Bearer', 'Basic', 'realm', '=', '"', ',', '\\', ' ', '\\"', '="', '",', '__proto__="x"'],
  parse: (input) => parseChallenges([input.toString('latin1'), input.toString()]),
};

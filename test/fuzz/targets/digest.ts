import { digestAlgorithm, digestHex, parseDigest } from '../../../lib/core/digest.ts';
import { type FuzzTarget, promise } from '../target.ts';

export const target: FuzzTarget = {
  about: 'a digest, which becomes a path in the store',
  parsers: { 'lib/core/digest.ts': ['isDigest', 'parseDigest', 'digestAlgorithm', 'digestHex'] },
  form: 'text',
  corpus: [
    `sha256:${'ab'.repeat(32)}`,
    `sha512:${'01'.repeat(64)}`,
    `sha256:${'AB'.repeat(32)}`,
    'md5:0',
    ':',
    '__proto__:x',
  ],
  words: ['sha256', 'sha512', ':', 'a', 'A', '/', '..', 'constructor', '\u0000'],
  refuses: ['DIGEST_INVALID'],
  parse: (input) => {
    const digest = parseDigest(input.toString());
    promise(/^sha(?:256|512)$/.test(digestAlgorithm(digest)), 'the algorithm is one that is known');
    promise(/^[0-9a-f]{64}(?:[0-9a-f]{64})?$/.test(digestHex(digest)), 'what becomes a file name is hex');
  },
};

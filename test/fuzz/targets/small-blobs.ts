import {
  decodeSmallQuestion,
  encodeSmallQuestion,
  MAX_SMALL_QUESTION_BYTES,
} from '../../../lib/wire/small-blobs-codec.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const origin = { upstream: 'harbor.corp', repository: 'team/app', authorization: 'Bearer x' };

export const target: FuzzTarget = {
  about: 'a question for small blobs on the peer port',
  parsers: { 'lib/wire/small-blobs-codec.ts': ['decodeSmallQuestion', 'bytesOf'] },
  form: 'json',
  corpus: [
    JSON.stringify({ blobs: [{ digest, size: 1 }] }),
    JSON.stringify({
      blobs: [
        { digest, size: 262_144 },
        { digest, size: 5 },
      ],
      origin,
    }),
    JSON.stringify({ blobs: Array.from({ length: 64 }, () => ({ digest, size: 262_144 })), origin }),
    '{',
  ],
  maxBytes: MAX_SMALL_QUESTION_BYTES,
  parse: (input) => {
    const question = decodeSmallQuestion(input.toString());
    if (question === undefined) return;
    const again = decodeSmallQuestion(encodeSmallQuestion(question));
    promise(JSON.stringify(again) === JSON.stringify(question), 'what was read is read again');
  },
};

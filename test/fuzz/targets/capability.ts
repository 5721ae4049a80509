import {
  decodeCapabilityAnswer,
  decodeCapabilityQuestion,
  MAX_CAPABILITY_QUESTION_BYTES,
} from '../../../lib/wire/capability-codec.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const place = { upstream: 'harbor.corp', repository: 'team/app' };
const given = { capability: 'text', card: 'card', digests: [digest], untilMs: 1_800_000_000_000 };

export const target: FuzzTarget = {
  about: 'questions for capabilities on the peer port of a supernode, and its answers',
  parsers: { 'lib/wire/capability-codec.ts': ['decodeCapabilityQuestion', 'decodeCapabilityAnswer', 'read'] },
  form: 'json',
  corpus: [
    JSON.stringify({ ...place, manifest: digest, authorization: 'Bearer x' }),
    JSON.stringify({ ...place, blob: digest }),
    JSON.stringify({ renew: 'text', digests: [digest, digest] }),
    JSON.stringify({ given, size: 5 }),
    JSON.stringify({ given: { ...given, leftMs: 300_000 } }),
    JSON.stringify({ given, manifest: { bytes: 'e30=', mediaType: 'application/json' } }),
    '{',
  ],
  maxBytes: MAX_CAPABILITY_QUESTION_BYTES,
  parse: (input) => {
    const text = input.toString();
    for (const decode of [decodeCapabilityQuestion, decodeCapabilityAnswer]) {
      const read = decode(text);
      if (read === undefined) continue;
      promise(
        JSON.stringify(decode(JSON.stringify(read))) === JSON.stringify(read),
        'what was read is read again',
      );
    }
  },
};

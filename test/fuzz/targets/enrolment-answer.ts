import { parseEnrolled, parseNews, parseRefusal } from '../../../lib/security/enrolment-messages.ts';
import { type FuzzTarget, promise } from '../target.ts';

const facts = { reason: 'expired' };

export const target: FuzzTarget = {
  about: 'what a tracker answers who would become, or stay, a member',
  parsers: {
    'lib/security/enrolment-messages.ts': ['parseEnrolled', 'parseNews', 'parseRefusal', 'parseJson'],
  },
  form: 'json',
  corpus: [
    JSON.stringify({ certificate: 'x', authority: 'y', clusterTimeMs: 1 }),
    JSON.stringify({ rotation: 'x', revocations: 'y' }),
    JSON.stringify({ code: 'IDENTITY_REFUSED', message: 'no', facts }),
    '{}',
    '{',
  ],
  parse: (input) => {
    const text = input.toString();
    const enrolled = parseEnrolled(text);
    promise(
      enrolled === undefined || (enrolled.clusterTimeMs >= 0 && enrolled.clusterTimeMs <= 8.64e15),
      'the time is one',
    );
    promise(typeof (parseNews(text).rotation ?? '') === 'string', 'news are texts');
    promise(typeof (parseRefusal(text)?.reason ?? '') === 'string', 'a refusal has a reason');
  },
};

import { parseRange } from '../../../lib/core/range.ts';
import { type FuzzTarget, promise } from '../target.ts';

const SIZES = [0, 1, 1000, 2 ** 40];

export const target: FuzzTarget = {
  about: 'the Range header of clients',
  parsers: { 'lib/core/range.ts': ['parseRange'] },
  form: 'text',
  corpus: [
    'bytes=0-',
    'bytes=0-0',
    'bytes=-1',
    'bytes=-0',
    'bytes=5-3',
    'bytes=-',
    'bytes=9999999999999-',
    'items=0-1',
    'bytes=0-1,3-4',
  ],
  words: ['bytes', '=', '-', ',', '0', '9'.repeat(30), ' ', '\t', '+', '1e9', '0x1'],
  parse: (input) => {
    for (const size of SIZES) {
      const asked = parseRange(input.toString('latin1'), size);
      if (asked.kind !== 'part') continue;
      const { end, start } = asked.range;
      promise(
        Number.isSafeInteger(start) && 0 <= start && start < end && end <= size,
        'a part lies in the blob',
      );
    }
  },
};

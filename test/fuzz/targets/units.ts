import { parseBytes, parseDuration, parseRate } from '../../../lib/config/units.ts';
import { DamselflyError } from '../../../lib/core/errors.ts';
import { type FuzzTarget, promise } from '../target.ts';

export const target: FuzzTarget = {
  about: 'sizes, rates and times in settings',
  parsers: { 'lib/config/units.ts': ['parseWithUnit', 'parseBytes', 'parseRate', 'parseDuration'] },
  form: 'text',
  corpus: [
    '512MiB',
    '100MB/s',
    '800Mbit/s',
    '1.5g',
    '0',
    '300ms',
    '2h',
    '10',
    'x',
    '1 constructor',
    '1__proto__',
  ],
  words: [
    'MiB',
    'MB',
    'k',
    'Mbit',
    '/s',
    'ms',
    'd',
    '.',
    ' ',
    '-',
    '1e9',
    '9'.repeat(400),
    'constructor',
    'tostring',
  ],
  refuses: ['CONFIG_INVALID'],
  parse: (input) => {
    const text = input.toString();
    for (const parse of [parseBytes, parseRate, parseDuration]) {
      try {
        const value = parse(text);
        promise(typeof value === 'number' && value >= 0, `${parse.name} gives a number`);
      } catch (error) {
        if (!(error instanceof DamselflyError)) throw error;
        if (parse === parseDuration) throw error;
      }
    }
  },
};

import { addToJsonArray } from '../../../dfget/setup/json-edit.ts';
import { applyEdits } from '../../../dfget/setup/text-edit.ts';
import { type FuzzTarget, promise } from '../target.ts';

const KEY = 'registry-mirrors';
const MIRROR = 'http://127.0.0.1:65001';

export const target: FuzzTarget = {
  about: "docker's daemon.json, to be edited in place",
  parsers: { 'dfget/setup/json-edit.ts': ['*'] },
  form: 'text',
  corpus: [
    ...[
      '{}',
      '{ }',
      '{\r\n  "a": 1\r\n}',
      `{"${KEY}": []}`,
      `{"${KEY}": ["${MIRROR}"]}`,
      `{"${KEY}": 7}`,
      '[]',
      '{',
    ],
    `{\n\t"a": {"b": ["]", "}"]},\n\t"${KEY}": ["http://x", "a\\"b"],\n\t"c": -1.5e3\n}`,
    `{"${KEY}": [], "${KEY}": []}`,
    `{"registry\\u002dmirrors": [1]}`,
  ],
  words: [
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '\\',
    '\n',
    '\r\n',
    `"${KEY}"`,
    'true',
    'null',
    '1',
    '\\u002d',
    '//',
    ' ',
  ],
  refuses: ['SETUP_REFUSED'],
  parse: (input) => {
    const text = input.toString();
    const edit = addToJsonArray('/etc/docker/daemon.json', text, KEY, MIRROR);
    const before = JSON.parse(text) as Record<string, unknown>;
    const after = JSON.parse(edit === undefined ? text : applyEdits(text, [edit])) as Record<string, unknown>;
    promise((after[KEY] as unknown[]).includes(MIRROR), 'the mirror is in the file');
    const rest = ({ [KEY]: _, ...others }: Record<string, unknown>): string => JSON.stringify(others);
    promise(rest(after) === rest(before), 'nothing else has changed');
  },
};

import { isDeepStrictEqual } from 'node:util';
import { k3sSetup } from '../../../dfget/setup/k3s.ts';
import { readYaml } from '../../../lib/config/yaml.ts';
import { type FuzzTarget, promise } from '../target.ts';

const MIRROR = '127.0.0.1:65001';
const registry = { name: 'harbor.corp', mirror: MIRROR, ownListener: true, url: 'https://harbor.corp' };

export const target: FuzzTarget = {
  about: "k3s's registries.yaml, to be edited in place",
  parsers: {
    'dfget/setup/k3s.ts': [
      ...['withMirror', 'registriesIn', 'readOrNothing', 'editFor', 'editEntry', 'firstInFlow', 'pairOf'],
      ...['isEmpty', 'startOf', 'keyStart', 'indentOf'],
    ],
  },
  form: 'text',
  corpus: [
    '',
    'mirrors:\n  "harbor.corp":\n    endpoint: ["http://old"]\n',
    'mirrors:\n  harbor.corp:\n    endpoint:\n      - http://old\n    rewrite:\n      a: b\n',
    `mirrors:\n  harbor.corp:\n    endpoint: ["http://${MIRROR}"]\n`,
    'mirrors:\n  other:\n    endpoint: [x]\nconfigs:\n  a: {tls: {insecure_skip_verify: true}}\n',
    '{"mirrors": {"harbor.corp": {"endpoint": ["x"]}}}\n',
    '{"mirrors": {"harbor.corp": {}, "b": {}}}\n',
    '{"mirrors": {"b": {}}}\n',
    '{"configs": {}}\n',
    'mirrors:\n',
    'mirrors: ~ # none\nconfigs: {}\n',
    'mirrors:\n  harbor.corp:\n    rewrite: {}\n',
    'mirrors:\n  harbor.corp:\n',
    'mirrors: 7\n',
    'mirrors:\n  harbor.corp: 7\n',
    'mirrors:\n  harbor.corp:\n    endpoint: 7\n',
    'mirrors: {"*": {endpoint: [x]}}\n',
    'mirrors:\n  a: &a {endpoint: [x]}\n  harbor.corp: *a\n',
    '- a\n',
    'a: [\n',
    '? [a]\n: b\n',
    '---\nmirrors: {}\n---\nmirrors: {}\n',
  ],
  words: [
    ...['mirrors', 'harbor.corp', 'endpoint', ':', ': ', '- ', '\n', '  ', '[', ']', '{', '}', '"', "'"],
    ...['&a ', '*a', '!!', '|', '>', '#', '---', '~', '? ', '\t', '\r\n', '"*"'],
  ],
  maxBytes: 4 * 1024,
  refuses: ['SETUP_REFUSED'],
  parse: (input) => {
    const text = input.toString();
    const plan = (before: string): string | undefined =>
      k3sSetup.plan({ read: () => before, list: () => [] }, [registry]).files[0]?.text;
    const after = plan(text) ?? '';
    promise(plan(after) === after, 'doing it twice changes nothing');
    const [was, is] = [readYaml(text), readYaml(after)].map((read) =>
      read.kind === 'value' ? (read.value as { mirrors?: object } | null) : null,
    );
    const others = (value: object | null | undefined): object => ({ ...value, mirrors: undefined });
    promise(isDeepStrictEqual(others(is), others(was)), 'nothing else has changed');
  },
};

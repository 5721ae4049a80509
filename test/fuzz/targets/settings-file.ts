import { existsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { daemonConfig } from '../../../dfget/daemon/config.ts';
import { loadConfig } from '../../../lib/config/load.ts';
import { trackerConfig } from '../../../tracker/config.ts';
import type { FuzzTarget } from '../target.ts';

/** Written for each input: in memory where a system has a place for that. */
const FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const FILE = join(FOLDER, `damselfly-fuzz-${process.pid}.yaml`);

export const target: FuzzTarget = {
  about: 'the settings file of a process',
  parsers: {
    'lib/config/load.ts': ['loadConfig', 'givenSettings', 'explain', 'shownValue', 'readFile', 'whereInYaml'],
    'lib/config/yaml.ts': ['*'],
  },
  form: 'text',
  corpus: [
    'proxy-listen: 127.0.0.1:0\nupstream:\n  - name: harbor.corp\n    url: https://harbor.corp\nstore-max: 20GiB\n',
    'tracker: [wss://a:8400, wss://b:8400]\nzone: z1\nbackground: true\nforward-rule:\n  - {regx: "a.*", direct: true}\n',
    'upstream: harbor.corp=https://user:secret@harbor.corp\nlog-level: loud\n',
    'nothing: here\n',
    '- a\n- b\n',
    'a: &x [1]\nb: [*x, *x]\n',
    'zone: !!binary aGk=\n',
    '"unterminated\n',
    '? [zone]\n: z1\n',
    'zone: &z z1\n*z : 2\n',
    `zone: ${'{a: '.repeat(70)}${'}'.repeat(70)}\n`,
    'a: &a [1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]\n',
    '',
  ],
  words: [
    ': ',
    '- ',
    '\n',
    '  ',
    '[',
    ']',
    '{',
    '}',
    '"',
    '&a ',
    '*a',
    '!!',
    '|',
    '>',
    '#',
    '---',
    '<<: ',
    'upstream',
    '? ',
  ],
  beyond: [`zone: ${'x'.repeat(300_000)}`],
  maxBytes: 4 * 1024,
  refuses: ['CONFIG_INVALID'],
  parse: (input) => {
    // Nothing in it stands for no file: one that was named, and one that need not be there.
    const isThere = input.length > 0;
    if (isThere) writeFileSync(FILE, input);
    const config = isThere ? FILE : `${FILE}.none`;
    const sources = {
      flags: { config, ...(isThere ? {} : { logLevel: 'debug' }) },
      env: { DAMSELFLY_ZONE: 'z9' },
      defaultFile: FILE,
      pushed: { 'upload-rate': '1MiB/s' },
    };
    if (!isThere) {
      loadConfig(trackerConfig, { ...sources, flags: { logLevel: 'debug' }, defaultFile: config });
    }
    if (input.length % 2 === 0) loadConfig(daemonConfig, sources);
    else loadConfig(trackerConfig, sources);
  },
};

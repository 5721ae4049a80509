import type { MachineFiles } from '../../../dfget/setup/machine-files.ts';
import { loadRecord } from '../../../dfget/setup/record.ts';
import type { FuzzTarget } from '../target.ts';

const file = {
  ...{ path: '/etc/x', original: '%2Fetc%2Fx', rights: { mode: 420, uid: 0, gid: 0 }, before: 'ab' },
  ...{ written: ['cd'], needsRestart: true },
};

export const target: FuzzTarget = {
  about: 'what dfget setup noted of the files that it changed',
  parsers: { 'dfget/setup/record.ts': ['loadRecord'] },
  form: 'json',
  corpus: [JSON.stringify({ version: 1, files: [file], folders: ['/etc/a'] }), '{}', '{', ''],
  refuses: ['SETUP_REFUSED'],
  parse: (input) => {
    const bytes = input.length === 0 ? undefined : { bytes: input };
    loadRecord({ read: () => bytes } as unknown as MachineFiles, 'docker');
  },
};

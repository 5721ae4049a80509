import { RememberedPeers } from '../../../lib/discovery/remembered-peers.ts';
import { silentLog } from '../../../lib/observe/log.ts';
import { FakeClock } from '../../../lib/runtime/fake-clock.ts';
import type { Disk } from '../../../lib/store/disk/disk.ts';
import { type FuzzTarget, promise } from '../target.ts';

const peer = { id: 'a1'.repeat(20), role: 'node', host: '10.0.0.1', port: 65_002, zone: '' };
const log = silentLog();

export const target: FuzzTarget = {
  about: 'the file of remembered peers',
  parsers: { 'lib/discovery/remembered-peers.ts': ['load', 'peersOf', 'isPeer'] },
  form: 'json',
  corpus: [
    JSON.stringify([peer, { ...peer, role: 'supernode' }]),
    JSON.stringify([null, 7, { ...peer, port: 'x' }]),
    '{}',
    '{',
  ],
  parse: async (input) => {
    const disk = { readText: async () => input.toString() } as unknown as Disk;
    const peers = await RememberedPeers.load({ disk, clock: new FakeClock(), log }, '/x');
    promise(
      peers.all.every(({ id }) => /^[0-9a-f]{40}$/.test(id)),
      'peers have ids',
    );
  },
};

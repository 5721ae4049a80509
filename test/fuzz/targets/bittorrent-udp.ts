import { silentLog } from '../../../lib/observe/log.ts';
import { FakeClock } from '../../../lib/runtime/fake-clock.ts';
import { admitUdp } from '../../../tracker/udp-announce.ts';
import { createUdpConnectionIds } from '../../../tracker/udp-connection-ids.ts';
import { createTestTracker } from '../bittorrent-tracker.ts';
import { type FuzzTarget, promise } from '../target.ts';

const ids = createUdpConnectionIds(new FakeClock());
const from = { address: '10.0.0.7', port: 6881, family: 'IPv4', size: 0 } as const;
const id = ids.issue(from.address);
const { answers, swarms, tracker } = createTestTracker(silentLog());

const connect = Buffer.from('00000417271019800000000000000001', 'hex');
const announce = Buffer.concat([id, Buffer.from('0000000100000002', 'hex'), Buffer.alloc(82, 3)]);
announce.writeUInt32BE(2, 80);
announce.writeUInt32BE(0x0a000001, 84);
announce.writeUInt16BE(6881, 96);
const scrape = Buffer.concat([id, Buffer.from('0000000200000003', 'hex'), Buffer.alloc(40, 4)]);

export const target: FuzzTarget = {
  about: 'UDP packets of BitTorrent clients',
  parsers: {
    'tracker/udp-announce.ts': ['admitUdp'],
    'tracker/udp-connection-ids.ts': ['valid', 'issue', 'idAt'],
  },
  form: 'bytes',
  corpus: [
    connect,
    announce,
    scrape,
    connect.subarray(0, 15),
    Buffer.concat([connect.subarray(0, 8), Buffer.alloc(8)]),
  ],
  maxBytes: 4096,
  parse: (input) => {
    const packet = Buffer.from(input);
    const length = packet.length;
    const admitted = admitUdp(packet, from, ids);
    answers.length = 0;
    if (admitted === 'pass') tracker.onUdpRequest(packet, from);
    const bytes = Buffer.isBuffer(admitted)
      ? admitted.length
      : answers.reduce((sum, each) => sum + each.length, 0);
    promise(bytes <= Math.max(length, 16) + 82 * 6 + 20, 'an answer does not amplify');
    // A spoofed address would have been kept.
    promise(
      [...swarms.addresses].every((address) => address === from.address),
      'peers are where they announce from',
    );
  },
};

import {
  decodeAnswer,
  decodeDoor,
  decodeQuestion,
  MAX_MEMBER_BYTES,
} from '../../../lib/wire/member-codec.ts';
import type { FuzzTarget } from '../target.ts';

const peer = { id: 'a1'.repeat(20), role: 'supernode', host: '10.0.0.1', port: 65_004, zone: '' };
const supernodes = [{ host: 'fe80::1', port: 65_006, member: '12D3KooWabc' }];
const settings = { atMs: 1, paused: ['docker.io'] };
const KEYS = ['0f'.repeat(32)];
const readers = [decodeQuestion, decodeAnswer, decodeDoor];

export const target: FuzzTarget = {
  about: 'what members of the DHT ask and answer, and where a peer says that its DHT listens',
  parsers: { 'lib/wire/member-codec.ts': ['decodeQuestion', 'decodeAnswer', 'decodeDoor', 'parse'] },
  form: 'json',
  corpus: [
    JSON.stringify({ peer, keys: KEYS, supernodes, settings }),
    JSON.stringify({ peer, shares: KEYS, supernodes }),
    JSON.stringify({ port: 65_006, member: '12D3KooWabc' }),
    '{',
  ],
  beyond: [' '.repeat(MAX_MEMBER_BYTES + 1)],
  maxBytes: MAX_MEMBER_BYTES,
  refuses: ['PEER_PROTOCOL'],
  parse: (input) => {
    const text = input.toString();
    // Each reads it as its own kind of message: at most one of them can be content.
    for (const read of readers) {
      try {
        read(text);
        return;
      } catch (error) {
        if (read === decodeDoor) throw error;
        if (!(error instanceof Error) || !('code' in error)) throw error;
      }
    }
  },
};

import {
  decodePeer,
  decodeReport,
  decodeSharer,
  encodePeer,
} from '../../../tracker/peer-store/shared-peer.ts';
import { type FuzzTarget, promise } from '../target.ts';

const peer = { id: 'a1'.repeat(20), role: 'node', host: '10.0.0.1', port: 65_002, zone: 'z1' };

export const target: FuzzTarget = {
  about: 'what trackers keep for each other in Redis',
  parsers: {
    'tracker/peer-store/shared-peer.ts': ['decodePeer', 'decodeSharer', 'decodeReport', 'parsed'],
  },
  form: 'json',
  corpus: [
    JSON.stringify(peer),
    JSON.stringify({ nodes: 3, supernodes: [{ ...peer, role: 'supernode' }] }),
    `a${JSON.stringify(peer)}`,
    `n${JSON.stringify({ ...peer, role: 'supernode' })}`,
    's{',
    '__proto__',
    '{',
  ],
  beyond: [`{"id":"${'x'.repeat(2000)}"}`],
  parse: (input) => {
    const text = input.toString();
    for (const found of [
      decodePeer(text),
      decodeSharer(text)?.info,
      ...(decodeReport(text)?.supernodes ?? []),
    ]) {
      if (found === undefined) continue;
      promise(/^[0-9a-f]{40}$/.test(found.id) && found.port <= 65_535, 'a peer has an id and a port');
      promise(decodePeer(encodePeer(found))?.id === found.id, 'what was read is read again');
    }
  },
};

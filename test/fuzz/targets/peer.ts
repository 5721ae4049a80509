import type { Digest } from '../../../lib/core/digest.ts';
import { type PieceProof, SIGNATURE_BYTES } from '../../../lib/core/proof.ts';
import { decodePeerMessage, encodePeerMessages } from '../../../lib/wire/peer-codec.ts';
import type { PeerMessage } from '../../../lib/wire/peer-messages.ts';
import { type FuzzTarget, promise } from '../target.ts';

const slots = { up: 4, down: 3 };
const proof: PieceProof = {
  ...{ index: 7, hash: new Uint8Array(32).fill(1), generation: '0011223344556677' },
  signature: new Uint8Array(SIGNATURE_BYTES).fill(2),
};
const peer = { id: 'a1'.repeat(20), role: 'node', host: '10.0.0.1', port: 65_002, zone: 'z' } as const;
const digest = `sha256:${'ab'.repeat(32)}` as Digest;
const messages: readonly PeerMessage[] = [
  { type: 'hello', protocol: 1, peer, clusterTimeMs: 1, slots },
  {
    type: 'open',
    handle: 1,
    digest,
    size: 2 ** 33,
    pieceBytes: 2 ** 22,
  },
  { type: 'close', handle: 1 },
  { type: 'reverse' },
  { type: 'have', handle: 1, slots, proofs: [proof, { ...proof, index: 8, signature: new Uint8Array() }] },
  { type: 'have', handle: 1, slots, proofs: [] },
  { type: 'slots', slots, hungry: true },
  { type: 'offer', handle: 1, slots, proof },
  { type: 'decline', handle: 1, slots, index: 7 },
  { type: 'want', handle: 1, slots, index: 8 },
  { type: 'origin', handle: 1, upstream: 'harbor.corp', repository: 'team/app', authorization: 'Bearer x' },
  { type: 'origin', handle: 1, upstream: 'harbor.corp', repository: 'team/app' },
  { type: 'traced', handle: 1, traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
  { type: 'origin-failed', handle: 1, code: 'UPSTREAM_REFUSED', status: 404, message: 'no' },
  { type: 'wrong', handle: 1, generations: ['0011223344556677'] },
  { type: 'voucher', text: 'a card' },
  { type: 'evidence', digest, size: 2 ** 33, pieceBytes: 2 ** 22, proofs: [proof, { ...proof, index: 8 }] },
  { type: 'capability', text: 'a capability', digests: [digest] },
];

export const target: FuzzTarget = {
  about: 'what neighbours say to each other',
  parsers: {
    'lib/wire/peer-codec.ts': [
      ...['decodePeerMessage', 'readMessage', 'readBlob', 'readDigest', 'readSlots', 'readFlag'],
      ...['readIndex', 'readHeaderText', 'readProofs'],
    ],
    'lib/wire/peer-codec-hello.ts': ['decodeHello'],
    'lib/wire/peer-codec-bytes.ts': ['u8', 'text', 'rest', 'end', 'decodeText'],
  },
  form: 'bytes',
  corpus: [
    ...messages.flatMap(encodePeerMessages),
    Uint8Array.of(200, 1),
    Buffer.from('\u0001{"type":"hello"}'),
  ],
  maxBytes: 512 * 1024,
  refuses: ['PEER_PROTOCOL'],
  parse: (input) => {
    const message = decodePeerMessage(input);
    if (message === undefined) return;
    const text = JSON.stringify(message);
    // Nothing of it may point into the memory that the network uses again.
    input.fill(0xee);
    promise(JSON.stringify(message) === text, 'a message is independent of its bytes');
    const [encoded = new Uint8Array()] = encodePeerMessages(message);
    promise(JSON.stringify(decodePeerMessage(encoded)) === text, 'what was read is read again');
  },
};

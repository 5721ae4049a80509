import fc from 'fast-check';
import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { hasCode } from '../../lib/core/errors.ts';
import type { PieceProof } from '../../lib/core/proof.ts';
import {
  decodePeerMessage,
  encodePeerMessage,
  encodePeerMessages,
  MAX_PIECES,
  MAX_PROOFS_PER_MESSAGE,
} from '../../lib/wire/peer-codec.ts';
import type { PeerMessage } from '../../lib/wire/peer-messages.ts';

const HEX = '0123456789abcdef';
const NO_SLOTS = { up: 0, down: 0 };
const TRACEPARENT = `00-${'a'.repeat(32)}-${'a'.repeat(16)}-01`;
const hex = (length: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...HEX), minLength: length, maxLength: length });
const byte = fc.integer({ min: 0, max: 255 });
const handle = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const index = fc.integer({ min: 0, max: MAX_PIECES - 1 });
const slots = fc.record({ up: byte, down: byte });
const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const proof: fc.Arbitrary<PieceProof> = fc.record({
  index,
  hash: bytes(32),
  generation: hex(16),
  signature: fc.oneof(bytes(0), bytes(80)),
});
const printable = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .filter((text) => !/[\p{Cc}]/u.test(text) && text.isWellFormed());
const digest = fc.oneof(
  hex(64).map((text) => `sha256:${text}` as Digest),
  hex(128).map((text) => `sha512:${text}` as Digest),
);

const message: fc.Arbitrary<PeerMessage> = fc.oneof(
  fc.record(
    {
      type: fc.constant('hello' as const),
      protocol: fc.integer({ min: 1, max: 65535 }),
      peer: fc.record({
        id: hex(40),
        role: fc.constantFrom('node' as const, 'supernode' as const),
        host: fc.constantFrom('10.0.0.1', 'node-7.cluster.local', '::1', 'fe80::1%eth0'),
        port: fc.integer({ min: 1, max: 65535 }),
        zone: fc.constantFrom('', 'eu-west/rack 7', 'Zürich'),
      }),
      clusterTimeMs: fc.nat(),
      slots,
    },
    { requiredKeys: ['type', 'protocol', 'peer', 'clusterTimeMs', 'slots'] },
  ),
  fc.constant({ type: 'reverse' as const }),
  fc.record({
    type: fc.constant('open' as const),
    handle,
    digest,
    size: fc.integer({ min: 0, max: 2 ** 38 }),
    pieceBytes: fc.constantFrom(2 ** 16, 2 ** 19, 2 ** 22, 2 ** 24),
  }),
  fc.record({ type: fc.constant('close' as const), handle }),
  fc.record({ type: fc.constant('voucher' as const), text: printable }),
  fc.record({
    type: fc.constant('evidence' as const),
    digest,
    size: fc.integer({ min: 0, max: 2 ** 38 }),
    pieceBytes: fc.constantFrom(2 ** 16, 2 ** 22),
    proofs: fc.array(proof, { maxLength: 2 }),
  }),
  fc.record({
    type: fc.constant('have' as const),
    handle,
    proofs: fc.array(proof, { maxLength: 20 }),
    slots,
  }),
  fc.record({ type: fc.constant('slots' as const), slots, hungry: fc.boolean() }),
  fc.record({ type: fc.constant('offer' as const), handle, proof, slots }),
  fc.record({ type: fc.constant('decline' as const), handle, index, slots }),
  fc.record({ type: fc.constant('want' as const), handle, index, slots }),
  fc.record(
    {
      type: fc.constant('origin' as const),
      handle,
      upstream: printable,
      repository: printable,
      authorization: printable,
    },
    { requiredKeys: ['type', 'handle', 'upstream', 'repository'] },
  ),
  fc.record({ type: fc.constant('traced' as const), handle, traceparent: fc.constant(TRACEPARENT) }),
  fc.record({
    type: fc.constant('origin-failed' as const),
    handle,
    code: fc.constantFrom('UPSTREAM_REFUSED', 'UPSTREAM_UNREACHABLE'),
    status: fc.integer({ min: 0, max: 65535 }),
    message: fc.string({ maxLength: 100 }),
  }),
  fc.record({
    type: fc.constant('wrong' as const),
    handle,
    generations: fc.array(hex(16), { maxLength: 5 }),
  }),
);

/** The same text for the same content, whatever the order of fields and the kind of byte array. */
function plain(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) =>
    field instanceof Uint8Array ? `bytes ${Buffer.from(field).toString('hex')}` : sorted(field),
  );
}

function sorted(field: unknown): unknown {
  if (typeof field !== 'object' || field === null || Array.isArray(field) || Buffer.isBuffer(field)) {
    return field;
  }
  return Object.fromEntries(Object.entries(field).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function decodeOrCode(input: Uint8Array): string {
  try {
    return decodePeerMessage(input)?.type ?? 'skipped';
  } catch (error) {
    if (hasCode(error, 'PEER_PROTOCOL')) return 'PEER_PROTOCOL';
    throw error;
  }
}

const aProof = (at: number): PieceProof => ({
  index: at,
  hash: new Uint8Array(32).fill(at),
  generation: '00112233445566ff',
  signature: new Uint8Array(),
});

await t.test('every message comes back as it was', async (t) => {
  fc.assert(
    fc.property(message, (sent) => {
      const encoded = encodePeerMessage(sent);
      const received = decodePeerMessage(encoded);
      // What was decoded must not change with the memory it came from.
      encoded.fill(0xee);
      return plain(received) === plain(sent);
    }),
    { numRuns: 300 },
  );
  t.pass('all the same');
});

await t.test('whatever the bytes are, decoding answers or throws PEER_PROTOCOL', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (input) => void decodeOrCode(input)),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(message, fc.nat(), byte, fc.nat(), (valid, at, value, cut) => {
      const encoded = encodePeerMessage(valid);
      encoded[at % encoded.length] = value;
      decodeOrCode(encoded.subarray(0, cut % (encoded.length + 1)));
    }),
    { numRuns: 3000 },
  );
  t.equal(decodeOrCode(new Uint8Array()), 'PEER_PROTOCOL');
});

await t.test('no cut or prolonged message is taken for a whole one', async (t) => {
  fc.assert(
    fc.property(message, (valid) => {
      const encoded = encodePeerMessage(valid);
      for (let length = 0; length < encoded.length; length++) {
        if (decodeOrCode(encoded.subarray(0, length)) !== 'PEER_PROTOCOL') {
          t.fail(`${valid.type} cut to ${length}`);
        }
      }
      if (decodeOrCode(Buffer.concat([encoded, Buffer.from('x')])) !== 'PEER_PROTOCOL') {
        t.fail(`${valid.type} prolonged`);
      }
    }),
    { numRuns: 60 },
  );
  t.pass('all refused');
});

await t.test('types of later versions are skipped', async (t) => {
  t.equal(decodePeerMessage(Uint8Array.of(200, 1, 2, 3)), undefined);
  t.equal(decodePeerMessage(Uint8Array.of(0)), undefined);
});

await t.test('unknown fields of a hello are dropped, wrong ones refused by name', async (t) => {
  const hello = {
    type: 'hello',
    protocol: 1,
    peer: { id: 'b'.repeat(40), role: 'node', host: 'n1', port: 1, zone: '', rack: 7 },
    clusterTimeMs: 5,
    slots: { up: 1, down: 2 },
    later: true,
  };
  const decode = (value: unknown): PeerMessage | undefined =>
    decodePeerMessage(Buffer.concat([Uint8Array.of(1), Buffer.from(JSON.stringify(value))]));
  t.notMatch(decode(hello), { later: true });
  const wrong: [string, unknown][] = [
    ['peer.id', { ...hello, peer: { ...hello.peer, id: 'B'.repeat(40) } }],
    ['peer.host', { ...hello, peer: { ...hello.peer, host: 'a\r\nX: y' } }],
    ['peer.host', { ...hello, peer: { ...hello.peer, host: 'h'.repeat(254) } }],
    ['peer.port', { ...hello, peer: { ...hello.peer, port: 65536 } }],
    ['peer.zone', { ...hello, peer: { ...hello.peer, zone: 'z'.repeat(65) } }],
    ['slots.up', { ...hello, slots: { up: 256, down: 0 } }],
    ['8[0-9]{3} bytes', { ...hello, padding: 'x'.repeat(8192) }],
    ['shape', []],
  ];
  for (const [what, value] of wrong) {
    t.throws(() => decode(value), { code: 'PEER_PROTOCOL', message: new RegExp(what) }, what);
  }
});

await t.test('caps are enforced on what arrives', async (t) => {
  const open = {
    type: 'open',
    handle: 1,
    digest: `sha256:${'0'.repeat(64)}` as Digest,
    size: 1,
    pieceBytes: 2 ** 20,
  } as const;
  const refused: [string, PeerMessage][] = [
    ['a blob over 1 TiB', { ...open, size: 2 ** 40 + 1 }],
    ['a piece size that is no power of two', { ...open, pieceBytes: 3 * 2 ** 19 }],
    ['too small pieces', { ...open, pieceBytes: 2 ** 13 }],
    ['too large pieces', { ...open, pieceBytes: 2 ** 25 }],
    ['pieces of nothing', { ...open, pieceBytes: 0 }],
    ['too many pieces', { ...open, size: 2 ** 40, pieceBytes: 2 ** 16 }],
    ['a digest we cannot verify', { ...open, digest: `md5:${'0'.repeat(32)}` as Digest }],
    ['an index beyond every blob', { type: 'decline', handle: 1, index: MAX_PIECES, slots: NO_SLOTS }],
    ['a wanted index beyond every blob', { type: 'want', handle: 1, index: MAX_PIECES, slots: NO_SLOTS }],
    [
      'a credential with a line break',
      { type: 'origin', handle: 1, upstream: 'u', repository: 'r', authorization: 'a\nb' },
    ],
    ['an upstream with a line break', { type: 'origin', handle: 1, upstream: 'u\r', repository: 'r' }],
    ['no trace', { type: 'traced', handle: 1, traceparent: TRACEPARENT.replaceAll('a', '0') }],
    ['an empty repository', { type: 'origin', handle: 1, upstream: 'u', repository: '' }],
    [
      'a signature of 3 bytes',
      {
        type: 'offer',
        handle: 1,
        slots: { up: 0, down: 0 },
        proof: { ...aProof(1), signature: new Uint8Array(3) },
      },
    ],
  ];
  for (const [what, value] of refused) t.equal(decodeOrCode(encodePeerMessage(value)), 'PEER_PROTOCOL', what);
  t.equal(decodeOrCode(encodePeerMessage(open)), 'open');
  t.throws(
    () => encodePeerMessage({ type: 'origin', handle: 1, upstream: 'u', repository: 'r'.repeat(1025) }),
    {
      code: 'INTERNAL',
    },
  );
  const failed = {
    type: 'origin-failed',
    handle: 1,
    code: 'X',
    status: 500,
    message: 'é'.repeat(2000),
  } as const;
  t.match(
    decodePeerMessage(encodePeerMessage(failed)),
    { message: /^é{512}$/ },
    'a long reason is cut, not refused',
  );
});

await t.test('a long list of proofs is cut into messages that fit', async (t) => {
  const proofs = Array.from({ length: MAX_PROOFS_PER_MESSAGE * 2 + 5 }, (_, i) => aProof(i));
  const have = { type: 'have', handle: 3, proofs, slots: { up: 1, down: 2 } } as const;
  const encoded = encodePeerMessages(have);
  t.equal(encoded.length, 3);
  t.ok(encoded.every((part) => part.length < 512 * 1024));
  const indexes = encoded.flatMap((part) => {
    const decoded = decodePeerMessage(part);
    return decoded?.type === 'have' ? decoded.proofs.map((one) => one.index) : [];
  });
  t.same(
    indexes,
    proofs.map((one) => one.index),
  );
  t.throws(() => encodePeerMessage(have), { code: 'INTERNAL' });
  t.equal(encodePeerMessages({ ...have, proofs: [] }).length, 1);
});

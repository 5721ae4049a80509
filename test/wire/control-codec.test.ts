import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';

const digest = digestOf(Buffer.from('layer'));
const other = digestOf(Buffer.from('other layer'));
const peer = (n: number): PeerInfo => ({
  id: n.toString(16).padStart(40, '0'),
  role: n === 0 ? 'supernode' : 'node',
  host: '10.0.0.1',
  port: 65_002,
  zone: 'rack-7',
});

const NO_BYTES = {
  ...{ origin: 0, objectStore: 0, supernode: 0, peer: 0, archive: 0 },
  ...{ toPeers: 0, toClients: 0 },
};
const REPORT = { type: 'report', bytes: NO_BYTES, blobs: [], gone: [], from: [], bans: [] } as const;

const MESSAGES: readonly ControlMessage[] = [
  { type: 'hello', protocol: 1, peer: peer(1), clusterTimeMs: 1.5 },
  { type: 'hello', protocol: 9, peer: { ...peer(1), host: '' }, clusterTimeMs: 0, identity: 'pem' },
  { type: 'welcome', protocol: 1, trackerId: 'ab'.repeat(20), clusterTimeMs: 1, epoch: 3, heartbeatMs: 5000 },
  {
    type: 'announce',
    blobs: [
      { digest, size: 0, have: 'none', stalled: true },
      { digest: other, size: 2 ** 40, have: 'all' },
      { digest: other, size: 1, have: 'some' },
    ],
  },
  { type: 'withdraw', digests: [digest, other] },
  {
    type: 'neighbours',
    blobs: [
      { digest, peers: [peer(0), peer(1), peer(2)], owned: true },
      { digest: other, peers: [peer(2), peer(0)] },
    ],
  },
  { type: 'neighbours', blobs: [] },
  { type: 'epoch', epoch: 0 },
  { type: 'epoch', epoch: 1, supernodes: [peer(0)] },
  { type: 'heartbeat' },
  { type: 'lease', ask: 0, digest, upstream: 'harbor.corp:5000', stripes: [0] },
  { type: 'lease', ask: 7, digest, upstream: 'x', stripes: [3, 2 ** 30], aside: true },
  { type: 'renew', ask: 8, token: 2 ** 52 },
  { type: 'release', token: 1 },
  { type: 'release', token: 1, read: true },
  { type: 'leased', ask: 7, stripe: 3, token: 2 ** 52, ttlMs: 2000 },
  { type: 'lease-refused', ask: 7, reason: 'held', retryMs: 1500, holders: [peer(1)] },
  { type: 'lease-refused', ask: 7, reason: 'crowded', retryMs: 0, holders: [] },
  { type: 'watch', everyMs: 1000, forMs: 60_000 },
  { type: 'watch', everyMs: 2500, forMs: 60_000, fresh: true },
  REPORT,
  {
    type: 'report',
    ...{ fresh: true, version: '0.1.0', bytes: { ...NO_BYTES, origin: 2 ** 40, toClients: 5 } },
    blobs: [
      { handle: 0, digest: digest, size: 10, pieces: 3, held: 1, readers: 2 },
      { handle: 1, held: 3, readers: 0 },
    ],
    ...{ gone: [7], from: [[peer(1).id, 4096]], bans: [{ peer: peer(2).id, reason: 'corrupt-piece' }] },
    slow: { cause: 'transfer', on: peer(3).id, ms: 900, ofMs: 1000 },
  },
  { type: 'settings', atMs: 0, paused: [] },
  { type: 'settings', atMs: 1_700_000_000_000, paused: ['all', 'harbor.corp:5000', '*.gcr.io'] },
  {
    type: 'welcome',
    protocol: 1,
    trackerId: 'ab'.repeat(20),
    clusterTimeMs: 1,
    epoch: 3,
    heartbeatMs: 5000,
    settings: { atMs: 7, paused: ['all'] },
  },
];

t.test('every message comes back as it was sent', async (t) => {
  for (const message of MESSAGES) t.same(decodeControl(encodeControl(message)), message, message.type);
});

t.test('a peer that is a neighbour for every layer of an image travels once', async (t) => {
  const peers = Array.from({ length: 12 }, (_, n) => peer(n));
  const blobs = Array.from({ length: 20 }, (_, n) => ({ digest: digestOf(Buffer.from(`${n}`)), peers }));
  const text = encodeControl({ type: 'neighbours', blobs });
  t.equal(text.split(peer(11).id).length - 1, 1);
  t.ok(text.length < 4096, `${text.length} bytes`);
});

t.test('fields and types of later versions are ignored', async (t) => {
  t.equal(decodeControl('{"type":"weather","x":1}'), undefined);
  t.same(decodeControl('{"type":"epoch","epoch":4,"reason":"rollout","__proto__":{"x":1}}'), {
    type: 'epoch',
    epoch: 4,
  });
  const hello = {
    type: 'hello',
    protocol: 1,
    peer: { ...peer(1), rack: 4 },
    clusterTimeMs: 0,
    colour: 'red',
  };
  t.same(decodeControl(JSON.stringify(hello)), {
    type: 'hello',
    protocol: 1,
    peer: peer(1),
    clusterTimeMs: 0,
  });
});

t.test('any settings within the caps come back as they were sent, alone and in a welcome', async (t) => {
  const rule = fc.record(
    {
      zone: fc.constantFrom('', 'eu-1'),
      node: fc.constantFrom('0', 'ab'.repeat(20)),
      values: fc.dictionary(fc.stringMatching(/^[a-z][a-z-]{0,63}$/), fc.stringMatching(/^[ -~]{1,128}$/), {
        maxKeys: 32,
        noNullPrototype: true,
      }),
    },
    { noNullPrototype: true, requiredKeys: ['values'] },
  );
  const settings = fc.record(
    {
      atMs: fc.integer({ min: 0, max: 8.64e15 }),
      paused: fc.array(fc.string({ minLength: 1, maxLength: 300 }), { maxLength: 256 }),
      rules: fc.array(rule, { maxLength: 64 }),
    },
    { noNullPrototype: true, requiredKeys: ['atMs', 'paused'] },
  );
  const welcome = {
    type: 'welcome',
    protocol: 1,
    trackerId: 'ab'.repeat(20),
    clusterTimeMs: 1,
    epoch: 3,
    heartbeatMs: 5000,
  } as const;
  fc.assert(
    fc.property(settings, (given) => {
      const alone: ControlMessage = { type: 'settings', ...given };
      const greeting: ControlMessage = { ...welcome, settings: given };
      return [alone, greeting].every((message) =>
        isDeepStrictEqual(decodeControl(encodeControl(message)), message),
      );
    }),
  );
  t.pass('every one');
});

t.test('a report of a member that does not tell of a bucket yet is read', async (t) => {
  const { objectStore, ...before } = NO_BYTES;
  const decoded = decodeControl(JSON.stringify({ ...REPORT, bytes: before }));
  t.same(decoded, { ...REPORT, bytes: { ...before, objectStore } });
});

t.test('what breaks a cap or a type is refused as a protocol error', async (t) => {
  const hello = (change: object): object => ({
    type: 'hello',
    protocol: 1,
    peer: { ...peer(1), ...change },
    clusterTimeMs: 0,
  });
  const announce = (change: object): object => ({
    type: 'announce',
    blobs: [{ digest, size: 1, have: 'none', ...change }],
  });
  const cases: Record<string, unknown> = {
    'no object': 7,
    null: null,
    'no type': {},
    'a type that is no text': { type: 1 },
    'more than 1 MiB': { type: 'epoch', epoch: 1, more: 'x'.repeat(1024 * 1024) },
    'an endless type': { type: 'x'.repeat(65) },
    'a short id': hello({ id: 'ab' }),
    'an unknown role': hello({ role: 'king' }),
    'a watch without a pause': { type: 'watch', everyMs: 0, forMs: 1000 },
    'an endless watch': { type: 'watch', everyMs: 1000, forMs: 300_001 },
    'a report of too many blobs': { ...REPORT, blobs: Array(65).fill({ handle: 1, held: 0, readers: 0 }) },
    'a report of fewer than no bytes': { ...REPORT, bytes: { ...NO_BYTES, peer: -1 } },
    'a report with markup': { ...REPORT, bans: [{ peer: peer(1).id, reason: '<img>' }] },
    'a report of an unknown cause': { ...REPORT, slow: { cause: 'fate', ms: 1, ofMs: 1 } },
    'a lease on nothing': { type: 'lease', ask: 1, digest, upstream: 'x', stripes: [] },
    'a lease on too much': { type: 'lease', ask: 1, digest, upstream: 'x', stripes: Array(65).fill(0) },
    'a lease on no stripe': { type: 'lease', ask: 1, digest, upstream: 'x', stripes: [-1] },
    'a lease of nowhere': { type: 'lease', ask: 1, digest, upstream: '', stripes: [0] },
    'an endless lease': { type: 'leased', ask: 1, stripe: 0, token: 1, ttlMs: 60_001 },
    'a refusal without a reason': { type: 'lease-refused', ask: 1, reason: 'no', retryMs: 0, holders: [] },
    'a token that is no number': { type: 'renew', ask: 1, token: '1' },
    'port 0': hello({ port: 0 }),
    'a long host': hello({ host: 'h'.repeat(254) }),
    'a host that is half a URL': hello({ host: 'a/../b@c' }),
    'a zone of two lines': hello({ zone: 'a\nb' }),
    'a long zone': hello({ zone: 'z'.repeat(65) }),
    'a wrong digest': announce({ digest: 'sha256:zz' }),
    'a negative size': announce({ size: -1 }),
    'a size beyond every layer': announce({ size: 2 ** 41 }),
    'half a byte': announce({ size: 0.5 }),
    'a third kind of having': announce({ have: 'most' }),
    '1,001 blobs': {
      type: 'announce',
      blobs: Array.from({ length: 1001 }, () => ({ digest, size: 1, have: 'none' })),
    },
    '1,001 digests': { type: 'withdraw', digests: Array.from({ length: 1001 }, () => digest) },
    'a peer index beyond the peers': {
      type: 'neighbours',
      peers: [peer(0)],
      blobs: [{ digest, peers: [1] }],
    },
    '65 neighbours': { type: 'neighbours', peers: [peer(0)], blobs: [{ digest, peers: Array(65).fill(0) }] },
    'a neighbour without a host': { type: 'neighbours', peers: [{ ...peer(0), host: '' }], blobs: [] },
    'an epoch below 0': { type: 'epoch', epoch: -1 },
    'settings with a name that is none': {
      type: 'settings',
      atMs: 1,
      paused: [],
      rules: [{ values: { 'Rate!': '1' } }],
    },
    'settings with a value that is too long': {
      type: 'settings',
      atMs: 1,
      paused: [],
      rules: [{ values: { rate: 'x'.repeat(129) } }],
    },
    'settings with too many rules': {
      type: 'settings',
      atMs: 1,
      paused: [],
      rules: Array(65).fill({ values: {} }),
    },
    'settings with too many values': {
      ...{ type: 'settings', atMs: 1, paused: [] },
      rules: [
        { values: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`r${'a'.repeat(at)}`, '1'])) },
      ],
    },
    'settings for what is no node': {
      type: 'settings',
      atMs: 1,
      paused: [],
      rules: [{ node: 'xyz', values: {} }],
    },
    'settings without a time': { type: 'settings', paused: [] },
    'settings from before the epoch': { type: 'settings', atMs: -1, paused: [] },
    'settings that nothing could replace': { type: 'settings', atMs: Number.MAX_SAFE_INTEGER, paused: [] },
    'an upstream without a name': { type: 'settings', atMs: 1, paused: [''] },
    'an upstream of 301 characters': { type: 'settings', atMs: 1, paused: ['a'.repeat(301)] },
    '257 upstreams': { type: 'settings', atMs: 1, paused: Array(257).fill('a') },
    'a welcome with half of the settings': { ...MESSAGES[2], settings: { atMs: 1 } },
    'a heartbeat every millisecond': { ...MESSAGES[2], heartbeatMs: 1 },
  };
  for (const [what, value] of Object.entries(cases)) {
    t.throws(() => decodeControl(JSON.stringify(value)), { code: 'PEER_PROTOCOL' }, what);
  }
  t.throws(() => decodeControl('{"type":"heartbeat"'), { code: 'PEER_PROTOCOL' }, 'half a message');
  t.throws(() => decodeControl('['.repeat(500_000)), { code: 'PEER_PROTOCOL' }, 'deep nesting');
});

t.test('no text makes the decoder throw anything but a protocol error', async (t) => {
  const survives = (text: string): boolean => {
    try {
      const message = decodeControl(text);
      return message === undefined || typeof message.type === 'string';
    } catch (error) {
      return error instanceof DamselflyError && error.code === 'PEER_PROTOCOL';
    }
  };
  const types = fc.constantFrom(...MESSAGES.map(({ type }) => type), 'toString', '__proto__');
  const fields = fc.constantFrom(
    'peer',
    'peers',
    'paused',
    'atMs',
    'settings',
    'blobs',
    'digests',
    'epoch',
    'protocol',
    'size',
    '__proto__',
    'type',
  );
  const runs = { numRuns: 500 };
  fc.assert(fc.property(fc.string({ unit: 'binary' }), survives), runs);
  fc.assert(fc.property(fc.json(), survives), runs);
  fc.assert(
    fc.property(types, fc.dictionary(fields, fc.jsonValue()), (type, rest) =>
      survives(JSON.stringify({ ...rest, type })),
    ),
    runs,
  );
  // Real messages with one byte changed come closest to being accepted.
  const texts = fc.constantFrom(...MESSAGES.map(encodeControl));
  fc.assert(
    fc.property(texts, fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (text, at, char) => {
      const place = at % text.length;
      return survives(text.slice(0, place) + char + text.slice(place + 1));
    }),
    { numRuns: 2000 },
  );
  t.pass('nothing else was thrown');
});

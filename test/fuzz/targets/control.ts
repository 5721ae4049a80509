import type { Digest } from '../../../lib/core/digest.ts';
import type { PeerInfo } from '../../../lib/core/node.ts';
import { decodeControl, encodeControl } from '../../../lib/wire/control-codec.ts';
import { type ControlMessage, MAX_CONTROL_BYTES } from '../../../lib/wire/control-messages.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}` as Digest;
const peer: PeerInfo = { id: 'a1'.repeat(20), role: 'node', host: '10.0.0.1', port: 65_002, zone: 'z' };
const place = { upstream: 'harbor.corp', repository: 'team/app' };
const messages: readonly ControlMessage[] = [
  { type: 'hello', protocol: 1, peer: { ...peer, host: '' }, clusterTimeMs: 1, identity: 'x' },
  {
    ...{ type: 'welcome', protocol: 1, trackerId: 'b2'.repeat(20), clusterTimeMs: 1, epoch: 2 },
    ...{ supernodes: [peer], heartbeatMs: 1000, settings: { atMs: 1, paused: ['all'] } },
  },
  { type: 'announce', blobs: [{ digest, size: 9, have: 'some', stalled: true }] },
  { type: 'announce', blobs: [{ digest, size: 2 ** 30, have: 'none' }] },
  { type: 'withdraw', digests: [digest] },
  { type: 'neighbours', blobs: [{ digest, peers: [peer, { ...peer, id: 'c3'.repeat(20) }], owned: true }] },
  { type: 'neighbours', blobs: [] },
  { type: 'epoch', epoch: 3, supernodes: [peer] },
  { type: 'settings', atMs: 5, paused: [], rules: [{ zone: 'z', values: { 'upload-rate': '1MiB/s' } }] },
  { type: 'lease', ask: 1, digest, upstream: 'harbor.corp', stripes: [0, 1], aside: true },
  { type: 'renew', ask: 1, token: 2 },
  { type: 'release', token: 2, read: true },
  { type: 'leased', ask: 1, stripe: 0, token: 5, ttlMs: 2000 },
  { type: 'lease-refused', ask: 1, reason: 'held', retryMs: 100, holders: [peer] },
  { type: 'heartbeat' },
  { type: 'unreached', ids: ['a1'.repeat(20)] },
  { type: 'reached', ids: ['a1'.repeat(20)] },
  { type: 'dial', peers: [peer] },
  { type: 'trust', rotation: 'x', revocations: 'y' },
  { type: 'watch', everyMs: 1000, forMs: 5000, fresh: true },
  {
    ...{ type: 'report', fresh: true, version: '0.1.0', gone: [3], from: [['a1'.repeat(20), 5]] },
    bytes: { origin: 1, supernode: 2, peer: 3, archive: 0, objectStore: 6, toPeers: 4, toClients: 5 },
    blobs: [{ handle: 1, digest, size: 9, pieces: 1, held: 1, readers: 1 }],
    slow: { cause: 'source', on: 'a1'.repeat(20), ms: 5, ofMs: 10 },
    bans: [{ peer: 'a1'.repeat(20), reason: 'x' }],
  },
  { type: 'labels', labels: { pool: 'gpu', 'corp.example/rack': '12', empty: '' } },
  { type: 'preheat-resolve', task: 'f.b', ...place, tags: 'v*', platforms: [], authorization: 'Basic eDp5' },
  { type: 'preheat-resolved', task: 'f.b', image: { reference: 'v1', digest, blobs: [{ digest, size: 1 }] } },
  { type: 'preheat', task: 'f.b', ...place, everyMs: 500, rate: 65_536, blobs: [{ digest, size: 1 }] },
  { type: 'preheat-progress', task: 'f.b', state: 'failed', bytes: 7, error: { code: 'X', message: 'y' } },
  { type: 'preheat-cancel', task: 'f.b' },
  { type: 'preheat-ask', ask: 1, question: { act: 'create', wish: { image: 'app', nodes: '10%' } } },
  {
    type: 'plan-ask',
    ask: 1,
    question: { act: 'create', plan: { images: ['a'], stages: [{ nodes: '1' }] } },
  },
  { type: 'plan-told', ask: 1, plans: [], error: { code: 'X', message: 'y' } },
  { type: 'preheat-told', ask: 1, jobs: [], error: { code: 'X', message: 'y' } },
];

export const target: FuzzTarget = {
  about: 'what members and trackers say to each other',
  parsers: {
    'lib/wire/control-codec.ts': ['decodeControl', 'readAnnounce', 'parseJson', 'malformed', 'settingsOf'],
  },
  form: 'json',
  corpus: [
    ...messages.map(encodeControl),
    '{"type":"later"}',
    '{"type":7}',
    '{"type":"announce","blobs":[7]}',
    `{"type":"announce","blobs":[{"digest":"sha256:0","size":1,"have":"all"}]}`,
    `{"type":"neighbours","peers":[],"blobs":[{"digest":"${digest}","peers":[0]}]}`,
  ],
  beyond: [' '.repeat(MAX_CONTROL_BYTES + 1)],
  maxBytes: 256 * 1024,
  refuses: ['PEER_PROTOCOL'],
  parse: (input) => {
    const message = decodeControl(input.toString());
    if (message === undefined) return;
    const again = decodeControl(encodeControl(message));
    const kept = again && decodeControl(encodeControl(again));
    promise(again !== undefined && again.type === message.type, 'what was read is read again');
    // Of a peer that is told twice in one message the first word counts.
    promise(JSON.stringify(kept) === JSON.stringify(again), 'and stays as it is');
  },
};

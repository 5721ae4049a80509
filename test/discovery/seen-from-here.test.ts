import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { hostFromHere, seenFromHere } from '../../lib/discovery/tracker/seen-from-here.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';

const peer = { id: 'a1'.repeat(20), role: 'supernode', port: 65_004, zone: '' } as const;
const at = (host: string): PeerInfo => ({ ...peer, host });
const numbers = { protocol: 1, clusterTimeMs: 1, epoch: 1, heartbeatMs: 1000 } as const;
const welcome = { type: 'welcome', trackerId: 'b2'.repeat(20), ...numbers } as const;
const digest = digestOf(Buffer.from('blob'));

/** Every kind of message that names peers. */
const naming = (peers: readonly PeerInfo[]): ControlMessage[] => [
  { ...welcome, supernodes: peers },
  { type: 'epoch', epoch: 2, supernodes: peers },
  { type: 'neighbours', blobs: [{ digest, peers, owned: true }] },
  { type: 'lease-refused', ask: 1, reason: 'held', retryMs: 5, holders: peers },
];

t.test('who is on the tracker’s own machine is reached where the tracker is', async (t) => {
  for (const own of ['127.0.0.1', '127.0.1.1', '::1', '::ffff:127.0.0.1', 'localhost']) {
    for (const [n, message] of naming([at(own), at('10.0.0.2')]).entries()) {
      t.same(seenFromHere(message, 'tracker.corp'), naming([at('tracker.corp'), at('10.0.0.2')])[n], own);
    }
  }
});

t.test('with the tracker on this machine, or nobody named, messages stay as they are', async (t) => {
  for (const message of naming([at('127.0.0.1')])) t.equal(seenFromHere(message, undefined), message);
  for (const message of [welcome, { type: 'epoch', epoch: 2 }, { type: 'heartbeat' }] as const) {
    t.equal(seenFromHere(message, 'tracker.corp'), message);
  }
});

t.test('the host of a tracker', async (t) => {
  t.equal(hostFromHere('wss://tracker.corp:8400'), 'tracker.corp');
  t.equal(hostFromHere('ws://10.0.0.1:8400'), '10.0.0.1');
  t.equal(hostFromHere('wss://[2001:db8::1]:8400'), '2001:db8::1', 'without brackets, as peers have it');
  for (const url of ['ws://127.0.0.1:8400', 'ws://localhost:8400', 'wss://[::1]:8400']) {
    t.equal(hostFromHere(url), undefined, url);
  }
});

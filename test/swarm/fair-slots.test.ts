import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { actionsOf, type Decision } from './actions-of.ts';

const PIECES = 16;

function requests(core: PeerCore): Decision[] {
  return actionsOf(core).filter(({ kind }) => kind === 'request');
}

/** A node that shares `blobs` blobs with one neighbour that holds all of them. */
function setUp(blobs: number, priorities: readonly number[] = []) {
  const core = new PeerCore({ stayShare: 0 }, createRng(1));
  const slots = Array.from({ length: blobs }, (_, i) =>
    core.addBlob(PIECES, undefined, priorities[i] ?? 0, 0),
  );
  const peer = core.addPeer('node', true, 0);
  for (const slot of slots) {
    core.peerShares(peer, slot);
    for (let piece = 0; piece < PIECES; piece++) core.peerHas(peer, slot, piece, 0);
  }
  return { core, peer, slots };
}

await t.test('blobs that clients wait for share the download slots', async (t) => {
  const { core, peer, slots } = setUp(2);
  core.peerSlots(peer, 10, 4, undefined, 0);
  const blobs = requests(core).map(({ blob }) => blob);
  t.same(blobs.sort(), [slots[0], slots[0], slots[1], slots[1]]);
});

await t.test('a more urgent blob takes them all', async (t) => {
  const { core, peer, slots } = setUp(2, [5, 1]);
  core.peerSlots(peer, 10, 4, undefined, 0);
  t.same(
    requests(core).map(({ blob }) => blob),
    Array.from({ length: 4 }, () => slots[1]),
  );
});

await t.test('a blob that only a supernode can give gets a slot, whatever others could use', async (t) => {
  const { core, peer } = setUp(1);
  core.peerSlots(peer, 100, 4, undefined, 0);
  const running = requests(core);
  t.equal(core.freeDownloads, 0, 'the first blob takes all slots');
  const late = core.addBlob(PIECES, undefined, 0, 10);
  const supernode = core.addPeer('supernode', true, 10);
  core.peerShares(supernode, late);
  core.received(running[0]!.request, 20);
  const decisions = actionsOf(core);
  t.equal(decisions.filter(({ kind }) => kind === 'request').length, 0, 'the freed slot is kept');
  t.ok(
    decisions.some(({ kind, peer: told }) => kind === 'hungry' && told === supernode),
    'and the supernode hears of it',
  );
  core.offered(supernode, late, 0, 30);
  t.match(requests(core), [{ blob: late, piece: 0 }], 'its offer is taken');
  core.received(running[1]!.request, 40);
  t.equal(requests(core).length, 1, 'then the others go on');
});

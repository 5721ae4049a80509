import t from 'tap';
import { Bitfield } from '../../lib/core/bitfield.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { actionsOf } from './actions-of.ts';

const NODE = 'node';
const ALL = Array.from({ length: 16 }, (_, piece) => piece);

await t.test('a complete blob is served to as many as there are slots', async (t) => {
  const core = new PeerCore({ uploadSlots: 2 }, createRng(1));
  const have = new Bitfield(4);
  have.setAll();
  const blob = core.addBlob(4, have, 0, 0);
  const peers = [0, 1, 2].map(() => {
    const peer = core.addPeer(NODE, true, 0);
    core.peerShares(peer, blob);
    return peer;
  });
  t.ok(core.admit(peers[0]!, blob, 0, 0));
  t.ok(core.admit(peers[1]!, blob, 1, 0));
  t.notOk(core.admit(peers[2]!, blob, 2, 0), 'no third one');
  t.equal(core.uploading, 2);
  t.notOk(core.admit(peers[0]!, blob, 99, 0), 'no such piece');
  core.uploaded(peers[0]!, 10);
  t.equal(core.freeUploadsFor(peers[0]!), 1, 'the slot is kept for whoever used it');
  t.equal(core.freeUploadsFor(peers[2]!), 0);
  core.peerSlots(peers[0]!, 4, 4, false, 20);
  t.same(
    actionsOf(core).map(({ kind, peer }) => [kind, peer]),
    [['slots', peers[2]]],
    'when it has no use for it, the one that waits is told',
  );
  t.ok(core.admit(peers[2]!, blob, 2, 30));
});

await t.test('a kept slot is given on when nobody comes for it', async (t) => {
  const core = new PeerCore({ uploadSlots: 1, keepMs: 50 }, createRng(1));
  const have = new Bitfield(4);
  have.setAll();
  const blob = core.addBlob(4, have, 0, 0);
  const peers = [0, 1].map(() => core.addPeer(NODE, true, 0));
  for (const peer of peers) core.peerShares(peer, blob);
  t.ok(core.admit(peers[0]!, blob, 0, 0));
  core.peerSlots(peers[1]!, 0, 4, true, 5);
  core.uploaded(peers[0]!, 10);
  t.same(actionsOf(core), []);
  core.tick(100);
  t.same(
    actionsOf(core).map(({ kind, peer }) => [kind, peer]),
    [['slots', peers[1]]],
  );
  core.removePeer(peers[1]!, 110);
  t.equal(core.freeUploadsFor(peers[0]!), 1, 'and is free again when that peer goes');
});

await t.test(
  'of peers that are nearly as far as we are, a free slot goes to the one that lacks most',
  async (t) => {
    const core = new PeerCore({ uploadSlots: 1 }, createRng(1));
    const have = new Bitfield(16);
    have.setAll();
    const blob = core.addBlob(16, have, 0, 0);
    const [user, rich, poor] = [ALL, ALL.slice(3), ALL.slice(12)].map((held) => {
      const peer = core.addPeer(NODE, true, 0);
      core.peerShares(peer, blob);
      for (const piece of held) core.peerHas(peer, blob, piece, 0);
      return peer;
    }) as [number, number, number];
    t.ok(core.admit(user, blob, 0, 0));
    core.peerSlots(rich, 0, 4, true, 5);
    core.peerSlots(poor, 0, 4, true, 6);
    core.uploaded(user, 10);
    t.same(
      actionsOf(core).map(({ kind, peer }) => [kind, peer]),
      [['slots', poor]],
      'although the other one waits longer',
    );
  },
);

await t.test('newcomers, who lack nearly everything, do not pass in front of who waits longer', async (t) => {
  const core = new PeerCore({ uploadSlots: 1 }, createRng(1));
  const pieces = 100;
  const have = new Bitfield(pieces);
  have.setAll();
  const blob = core.addBlob(pieces, have, 0, 0);
  const [user, nearlyDone, newcomer] = [0, 10, 90].map((lacks) => {
    const peer = core.addPeer(NODE, true, 0);
    core.peerShares(peer, blob);
    for (let piece = lacks; piece < pieces; piece++) core.peerHas(peer, blob, piece, 0);
    return peer;
  }) as [number, number, number];
  const served = (first: number, second: number): number[] => {
    core.admit(user, blob, 0, 0);
    core.peerSlots(first, 0, 4, true, 5);
    core.peerSlots(second, 0, 4, true, 6);
    core.uploaded(user, 10);
    const [told] = actionsOf(core).map(({ peer }) => peer);
    for (const peer of [nearlyDone, newcomer]) core.peerSlots(peer, 0, 4, false, 20);
    return [told!, ...actionsOf(core).map(({ peer }) => peer)];
  };
  t.same(served(nearlyDone, newcomer), [nearlyDone, newcomer]);
  t.same(served(newcomer, nearlyDone), [newcomer, nearlyDone]);
});

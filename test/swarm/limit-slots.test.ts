import t from 'tap';
import { Bitfield } from '../../lib/core/bitfield.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { SeedCore } from '../../lib/swarm/seed-core.ts';
import { actionsOf } from './actions-of.ts';

const PIECES = 64;

function full(): Bitfield {
  const have = new Bitfield(PIECES);
  have.setAll();
  return have;
}

t.test('a node asks for as many pieces at a time as it may, and for more once it may', async (t) => {
  const core = new PeerCore({}, createRng(1));
  core.limitSlots(1, 1, 0);
  const blob = core.addBlob(PIECES, undefined, 0, 0);
  for (let i = 0; i < 6; i++) {
    const peer = core.addPeer('node', true, 0);
    core.peerShares(peer, blob);
    // Enough for a swarm that is not young any more.
    for (let piece = i; piece < PIECES; piece += 6) core.peerHas(peer, blob, piece, 0);
    core.peerSlots(peer, 4, 4, false, 0);
  }
  const requests = (): number => actionsOf(core).filter(({ kind }) => kind === 'request').length;
  t.equal(requests(), 1);
  t.equal(core.freeDownloads, 0);
  core.limitSlots(1, 3, 10);
  t.equal(requests(), 2, 'two more, at once');
  core.limitSlots(1, Number.POSITIVE_INFINITY, 20);
  t.equal(requests(), 1, 'never more than the four it has');
});

t.test('a node serves as many at a time as it may; who waits is told when it may more', async (t) => {
  const core = new PeerCore({}, createRng(1));
  const blob = core.addBlob(PIECES, full(), 100, 0);
  const [a, b] = [core.addPeer('node', true, 0), core.addPeer('node', true, 0)];
  for (const peer of [a, b]) core.peerShares(peer, blob);
  core.limitSlots(1, 1, 0);
  t.equal(core.freeUploadsFor(a), 1, 'what it promises');
  t.ok(core.admit(a, blob, 0, 0));
  t.notOk(core.admit(b, blob, 0, 0));
  actionsOf(core);
  core.limitSlots(2, 1, 10);
  t.same(
    actionsOf(core).map(({ kind, peer }) => [kind, peer]),
    [['slots', b]],
  );
  t.ok(core.admit(b, blob, 0, 10));
  core.limitSlots(1, 1, 20);
  core.uploaded(a, 30);
  t.notOk(core.admit(a, blob, 1, 30), 'one is still under way');
  core.uploaded(b, 40);
  t.ok(core.freeUploadsFor(b) === 1 || core.freeUploadsFor(a) === 1);
});

t.test('a supernode offers as much at a time as it may, and the rest once it may', async (t) => {
  const core = new SeedCore({}, createRng(1));
  core.limitSlots(2, 0);
  const blob = core.addBlob(PIECES, full());
  for (let i = 0; i < 10; i++) {
    const peer = core.addPeer(0);
    core.peerShares(peer, blob);
    core.peerSlots(peer, 0, 4, false, 0);
  }
  t.equal(actionsOf(core).length, 2);
  core.limitSlots(Number.POSITIVE_INFINITY, 10);
  t.equal(actionsOf(core).length, 4, 'its six slots');
  t.equal(core.freeSlots, 0);
});

t.test('on a slow line no piece is given twice because it takes long', async (t) => {
  const core = new SeedCore({ slots: 1 }, createRng(1));
  const blob = core.addBlob(PIECES, full());
  const peers = [0, 1, 2].map(() => core.addPeer(0));
  for (const peer of peers) core.peerShares(peer, blob);
  const given: number[] = [];
  for (let now = 0; given.length < 12; now += 3000) {
    for (const peer of peers) core.peerSlots(peer, 0, 1, false, now);
    const [offer] = actionsOf(core);
    if (offer === undefined) break;
    given.push(offer.piece);
    core.admit(offer.peer, blob, offer.piece, now);
    for (let at = now; at < now + 3000; at += 50) core.tick(at);
    core.peerHas(offer.peer, blob, offer.piece, now + 2990);
    core.uploaded(offer.peer, now + 2990);
    actionsOf(core);
  }
  // What is usual is known after the first.
  t.ok(new Set(given).size >= given.length - 1, `given: ${given.join(' ')}`);
});

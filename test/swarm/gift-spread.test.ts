import t from 'tap';
import { Bitfield } from '../../lib/core/bitfield.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { GiftSpread } from '../../lib/swarm/gift-spread.ts';
import { Far } from '../../lib/swarm/seed-blob.ts';
import { SeedCore } from '../../lib/swarm/seed-core.ts';
import { actionsOf } from './actions-of.ts';

const PIECES = 100;
const STEP_MS = 100;

/** A seed with all pieces, one slot a peer; every gift arrives at once, and `passes` says whether others get it then. */
function setUp(peers: number, passes: (peer: number, now: number) => boolean) {
  const core = new SeedCore({}, createRng(1));
  const have = new Bitfield(PIECES);
  have.setAll();
  const blob = core.addBlob(PIECES, have);
  const all = Array.from({ length: peers }, () => core.addPeer(0));
  for (const peer of all) core.peerShares(peer, blob);
  const given: { peer: number; piece: number; now: number }[] = [];
  let now = 0;
  const run = (ms: number): void => {
    for (const end = now + ms; now < end; now += STEP_MS) {
      core.tick(now);
      for (const peer of all) core.peerSlots(peer, 0, 1, false, now);
      for (const { peer, piece } of actionsOf(core)) {
        if (!core.admit(peer, blob, piece, now)) throw new Error('an offer was not kept');
        core.uploaded(peer, now);
        core.peerHas(peer, blob, piece, now);
        given.push({ peer, piece, now });
        for (const other of passes(peer, now) ? all : []) core.peerHas(other, blob, piece, now);
      }
    }
  };
  return { all, given, run };
}

t.test('what is passed on is given once', (t) => {
  const { given, run } = setUp(4, () => true);
  run(20_000);
  t.equal(given.length, PIECES);
  t.end();
});

t.test('what a peer keeps to itself is given to another one, and soon nobody waits for that', (t) => {
  const { all, given, run } = setUp(4, (peer) => peer !== 0);
  const [mute] = all;
  run(20_000);
  const others = new Set(given.filter(({ peer }) => peer !== mute).map(({ piece }) => piece));
  t.equal(others.size, PIECES, 'the others have all');
  const late = given.filter(({ now, peer }) => peer === mute && now > 3000).map(({ piece }) => piece);
  t.same(
    late,
    late.toSorted((a, b) => a - b),
    'and it gets what it lacks in order',
  );
  t.end();
});

t.test('a peer alone passes nothing on and is not blamed for it', (t) => {
  const { given, run } = setUp(1, () => false);
  run(20_000);
  t.same(
    given.map(({ piece }) => piece),
    Array.from({ length: PIECES }, (_, piece) => piece),
  );
  t.end();
});

t.test('a gift that does not count as given is not taken back', (t) => {
  const peers = [0, 1].map(() => ({ far: Far.own, kept: 0, keptAt: 0 }));
  const takenBack: number[][] = [];
  const spread = new GiftSpread({
    holders: () => 1,
    sharers: () => 3,
    passing: (peer) => peers[peer],
    kept: (...gift) => void takenBack.push(gift),
  });
  spread.addBlob(0, PIECES);
  spread.arrived(0, 0, 7, 0, false);
  spread.arrived(1, 0, 8, 0, true);
  spread.look(2000, 1000);
  t.same(
    peers.map(({ kept }) => kept),
    [1, 1],
    'both kept what they got',
  );
  t.same(takenBack, [[1, 0, 8]]);
  t.end();
});

t.test('a gift to another zone has two seconds to be passed on, however fast that goes as a rule', (t) => {
  const peers = [Far.own, Far.within, Far.outside].map((far) => ({ far, kept: 0, keptAt: 0 }));
  const takenBack: number[][] = [];
  const passedOn = new Set<number>();
  const spread = new GiftSpread({
    holders: (_, piece) => (passedOn.has(piece) ? 2 : 1),
    sharers: () => 5,
    passing: (peer) => peers[peer],
    kept: (peer, _blob, piece) => void takenBack.push([peer, piece]),
  });
  spread.addBlob(0, PIECES);
  for (let piece = 0; piece < 50; piece++) {
    spread.arrived(0, 0, piece, piece * 50, true);
    passedOn.add(piece);
    spread.look(piece * 50 + 50, 1000);
  }
  const now = 3000;
  for (const peer of peers.keys()) spread.arrived(peer, 0, 50 + peer, now, true);
  spread.look(now + 250, 1000);
  t.same(takenBack, [[0, 50]], 'in the own zone it should have been passed on by now');
  spread.look(now + 1950, 1000);
  t.equal(takenBack.length, 1);
  spread.look(now + 2000, 1000);
  t.same(takenBack.slice(1), [
    [1, 51],
    [2, 52],
  ]);
  t.end();
});

t.test('where passing on takes longer than it used to, soon nobody is blamed for that', (t) => {
  const peer = { far: Far.own, kept: 0, keptAt: 0 };
  const takenBack: number[] = [];
  let passedOn = -1;
  const spread = new GiftSpread({
    holders: (_, piece) => (piece <= passedOn ? 2 : 1),
    sharers: () => 3,
    passing: () => peer,
    kept: (_peer, _blob, piece) => void takenBack.push(piece),
  });
  spread.addBlob(0, PIECES);
  let now = 0;
  const give = (piece: number, tookMs: number): void => {
    spread.arrived(0, 0, piece, now, true);
    for (const end = now + tookMs; now < end; now += 50) spread.look(now, 1000);
    passedOn = piece;
    spread.look(now, 1000);
  };
  for (let piece = 0; piece < 50; piece++) give(piece, 50);
  for (let piece = 50; piece < PIECES; piece++) give(piece, 1000);
  t.ok(takenBack.length < 5, `${takenBack.length} of 50 were not waited for`);
  t.equal(peer.kept, 0);
  t.end();
});

t.test('where nobody passes anything on, everybody gets all of it in order', (t) => {
  const { all, given, run } = setUp(3, () => false);
  run(60_000);
  for (const peer of all) {
    const late = given.filter((one) => one.peer === peer && one.now > 5000).map(({ piece }) => piece);
    t.same(
      late,
      late.toSorted((a, b) => a - b),
    );
    t.equal(new Set(given.filter((one) => one.peer === peer).map(({ piece }) => piece)).size, PIECES);
  }
  t.end();
});

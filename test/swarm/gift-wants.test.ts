import t from 'tap';
import { Bitfield } from '../../lib/core/bitfield.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { SeedCore } from '../../lib/swarm/seed-core.ts';
import type { SeedCoreOptions } from '../../lib/swarm/seed-core-options.ts';
import { actionsOf } from './actions-of.ts';

const PIECES = 64;

/** A seed of one blob, and peers that share it and have no free slot. */
function setUp(options: Partial<SeedCoreOptions> = {}, have = full()) {
  const core = new SeedCore(options, createRng(1));
  const blob = core.addBlob(PIECES, have);
  const peer = (down = 0, zone = 0): number => {
    const added = core.addPeer(zone);
    core.peerShares(added, blob);
    core.peerSlots(added, 0, down, false, 0);
    return added;
  };
  const offers = (): [number, number][] => actionsOf(core).map(({ peer, piece }) => [peer, piece]);
  /** The peer takes what it was offered, and others do not get it from there. */
  const take = (to: number, piece: number, now: number): void => {
    if (!core.admit(to, blob, piece, now)) throw new Error('an offer was not kept');
    core.peerHas(to, blob, piece, now);
    core.uploaded(to, now);
  };
  /** A peer that was given the piece, and is gone. */
  const giveAway = (piece: number, now: number): void => {
    const one = peer();
    if (!core.admit(one, blob, piece, now)) throw new Error('no free slot');
    core.uploaded(one, now);
    core.peerHas(one, blob, piece, now);
    core.removePeer(one, now);
  };
  return { blob, core, giveAway, offers, peer, take };
}

function full(): Bitfield {
  const have = new Bitfield(PIECES);
  have.setAll();
  return have;
}

t.test('what a peer wants is offered at once, whoever was given it, and without a free slot', async (t) => {
  const { blob, core, giveAway, offers, peer, take } = setUp();
  giveAway(9, 0);
  const one = peer();
  core.tick(10);
  t.same(offers(), [], 'it has told no free slot');
  core.wanted(one, blob, 9, 20);
  t.same(offers(), [[one, 9]]);
  core.wanted(one, blob, 9, 30);
  t.same(offers(), [], 'not twice at a time');
  take(one, 9, 40);
  core.wanted(one, blob, 9, 50);
  core.tick(60);
  t.same(offers(), [], 'nor when it holds the piece');
});

t.test('what was sent in vain is offered again', async (t) => {
  const { blob, core, offers, peer } = setUp();
  const one = peer();
  core.wanted(one, blob, 9, 0);
  t.same(offers(), [[one, 9]]);
  t.ok(core.admit(one, blob, 9, 10));
  core.uploaded(one, 20);
  core.tick(500);
  t.same(offers(), [], 'it may be on its way to the disk');
  core.wanted(one, blob, 9, 1000);
  t.same(offers(), [[one, 9]]);
  t.equal(core.freeSlots, 5, 'one slot, not two');
});

t.test('a piece that is yet to come is offered to whoever wants it when it lands', async (t) => {
  const { blob, core, offers, peer } = setUp({ slots: 1 }, new Bitfield(PIECES));
  const [other, one] = [peer(4), peer()];
  core.wanted(one, blob, 9, 0);
  t.same(offers(), []);
  core.landed(blob, 9, 100);
  t.same(offers(), [[one, 9]], 'and not to one with a free slot');
  core.declined(one, blob, 9, 110);
  t.same(offers(), [[other, 9]], 'it has told nothing since: it may have it from elsewhere');
});

t.test('a copy that may still spread is waited for', async (t) => {
  const { blob, core, offers, peer } = setUp({ stuckMs: 1000 });
  const [slow, one] = [peer(), peer()];
  t.ok(core.admit(slow, blob, 9, 0));
  core.wanted(one, blob, 9, 500);
  t.same(offers(), []);
  core.tick(999);
  t.same(offers(), []);
  core.tick(1000);
  t.same(offers(), [[one, 9]], 'but not for long');
});

t.test('wants that leave their turn take one slot of a few, and one in eight of many', async (t) => {
  for (const [slots, most] of [[6, 1] as const, [32, 4] as const]) {
    const { blob, core, giveAway, offers, peer } = setUp({ slots });
    const peers = Array.from({ length: 20 }, () => peer());
    for (let piece = 0; piece < peers.length; piece++) giveAway(piece, 0);
    peers.forEach((each, piece) => core.wanted(each, blob, piece, 10));
    t.equal(offers().length, most, `of ${slots} slots`);
    t.equal(core.freeSlots, slots - most);
  }
});

t.test('a wanted piece that nobody was given is given in turn', async (t) => {
  const { blob, core, offers, peer } = setUp({ slots: 6 });
  const peers = Array.from({ length: 6 }, () => peer());
  peers.forEach((each, index) => core.wanted(each, blob, 20 + index, 10));
  t.same(
    offers(),
    peers.map((each, index) => [each, 20 + index]),
    'by all slots',
  );
});

t.test('with one slot, ordinary gifts go on between wanted ones', async (t) => {
  const { blob, core, giveAway, offers, peer, take } = setUp({ slots: 1 });
  for (let piece = 0; piece < 30; piece++) giveAway(piece, 0);
  const [wanting, other] = [peer(), peer()];
  let next = 0;
  const given: number[] = [];
  for (let now = 10; given.length < 20; now += 10) {
    core.peerSlots(other, 0, 1, false, now);
    core.wanted(wanting, blob, next, now);
    for (const [to, piece] of offers()) {
      given.push(to);
      if (to === wanting) next++;
      take(to, piece, now);
    }
  }
  t.equal(given.filter((to) => to === other).length, 10, given.join(' '));
});

t.test('peers take turns, however many layers each waits for', async (t) => {
  const core = new SeedCore({ slots: 1 }, createRng(1));
  const blobs = Array.from({ length: 12 }, () => core.addBlob(PIECES, full()));
  const [greedy, modest] = [core.addPeer(0), core.addPeer(0)];
  for (const blob of blobs) for (const peer of [greedy, modest]) core.peerShares(peer, blob);
  const served: number[] = [];
  core.admit(modest, blobs[0]!, 0, 0);
  for (const blob of blobs) core.wanted(greedy, blob, 1, 10);
  for (const blob of blobs.slice(0, 2)) core.wanted(modest, blob, 2, 20);
  core.uploaded(modest, 30);
  for (let now = 40; now < 2000; now += 10) {
    for (const { blob, peer, piece } of actionsOf(core)) {
      served.push(peer);
      core.admit(peer, blob, piece, now);
      core.peerHas(peer, blob, piece, now);
      core.uploaded(peer, now);
    }
  }
  t.same(served.slice(0, 4).sort(), [greedy, greedy, modest, modest].sort(), 'two each at first');
  t.equal(served.length, 10, 'and of one peer eight at most are remembered');
});

t.test('of each blob of a peer one piece is wanted: the one told last', async (t) => {
  const { blob, core, offers, peer } = setUp({ slots: 1 });
  const [one, busy] = [peer(), peer()];
  t.ok(core.admit(busy, blob, 0, 0));
  core.wanted(one, blob, 5, 10);
  core.wanted(one, blob, 6, 20);
  core.uploaded(busy, 30);
  t.same(offers(), [[one, 6]]);
});

t.test('wants end with their peer, their blob, its sharing, the piece, and in time', async (t) => {
  const end: Readonly<Record<string, (core: SeedCore, blob: number, peer: number) => void>> = {
    'the peer is gone': (core, _, peer) => core.removePeer(peer, 20),
    'the blob is gone': (core, blob) => core.removeBlob(blob),
    'it shares the blob no more': (core, blob, peer) => {
      core.peerUnshares(peer, blob);
      core.peerShares(peer, blob);
    },
    'it has the piece': (core, blob, peer) => core.peerHas(peer, blob, 9, 20),
    'it is not told again': (core) => core.tick(2600),
  };
  for (const [what, event] of Object.entries(end)) {
    const { blob, core, offers, peer } = setUp({}, new Bitfield(PIECES));
    const one = peer();
    core.wanted(one, blob, 9, 10);
    event(core, blob, one);
    // Whoever comes next may have the same number.
    const other = core.addPeer(0);
    core.peerShares(other, blob);
    core.landed(blob, 9, 2700);
    t.same(offers(), [], what);
  }
});

t.test(
  'of a crowd that wants more than is remembered some are served, and the rest when they tell again',
  async (t) => {
    const { blob, core, giveAway, offers, peer, take } = setUp({ slots: 6 });
    giveAway(9, 0);
    const crowd = Array.from({ length: 3000 }, () => peer());
    for (const each of crowd) core.wanted(each, blob, 9, 10);
    let served = 0;
    for (let now = 20; ; now++) {
      const made = offers();
      if (made.length === 0) break;
      t.equal(made.length, 1, 'by one slot');
      served += made.length;
      for (const [to, piece] of made) take(to, piece, now);
    }
    t.equal(served, 1 + 256, 'the first, and so many are remembered');
    core.wanted(crowd[2999]!, blob, 9, 2000);
    t.same(
      offers(),
      [[2999, 9]].map(([, piece]) => [crowd[2999]!, piece]),
    );
  },
);

t.test(
  'a peer that always wants what comes next, and is slow to take it, does not take all slots',
  async (t) => {
    const { blob, core, offers, peer } = setUp({ slots: 6 }, new Bitfield(PIECES));
    const greedy = peer();
    for (let i = 0; i < 5; i++) peer(200);
    let its = 0;
    for (let landed = 0; landed < PIECES; landed++) {
      const now = landed * 20;
      core.wanted(greedy, blob, landed, now);
      core.landed(blob, landed, now);
      for (const [to, piece] of offers()) {
        t.ok(core.admit(to, blob, piece, now));
        if (to === greedy) {
          its++;
          continue;
        }
        core.peerHas(to, blob, piece, now);
        core.uploaded(to, now);
      }
    }
    t.equal(its, 2, 'one in its turn, one out of it');
  },
);

t.test('nonsense is ignored', async (t) => {
  const { blob, core, offers, peer } = setUp();
  const one = peer();
  const stranger = core.addPeer(0);
  for (const [who, what, piece] of [
    [one, blob, PIECES],
    [one, blob, -1],
    [one, blob + 1, 0],
    [99, blob, 0],
    [stranger, blob, 0],
  ] as const) {
    core.wanted(who, what, piece, 0);
  }
  core.tick(10);
  t.same(offers(), []);
});

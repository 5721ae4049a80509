import t from 'tap';
import { Bitfield } from '../../lib/core/bitfield.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { SeedCore } from '../../lib/swarm/seed-core.ts';
import type { SeedCoreOptions } from '../../lib/swarm/seed-core-options.ts';
import { actionsOf } from './actions-of.ts';

const PIECES = 8;

function full(pieces = PIECES): Bitfield {
  const have = new Bitfield(pieces);
  have.setAll();
  return have;
}

function setUp(options: Partial<SeedCoreOptions> = {}, have: Bitfield | undefined = full()) {
  const core = new SeedCore(options, createRng(1));
  const blob = core.addBlob(have?.length ?? PIECES, have);
  const peer = (zone: number, down: number, now = 0): number => {
    const added = core.addPeer(zone);
    core.peerShares(added, blob);
    core.peerSlots(added, 0, down, false, now);
    return added;
  };
  const offers = (): [number, number][] => actionsOf(core).map(({ peer, piece }) => [peer, piece]);
  /** Serves an offer to its end. */
  const serve = (to: number, piece: number, now: number): void => {
    if (!core.admit(to, blob, piece, now)) throw new Error('an offer was not kept');
    core.uploaded(to, now);
    core.peerHas(to, blob, piece, now);
  };
  return { core, blob, peer, offers, serve };
}

await t.test('a node alone gets the blob in order, as many pieces at a time as it has slots', async (t) => {
  const { core, peer, offers, serve } = setUp();
  const node = peer(0, 2);
  const got: number[] = [];
  for (let now = 10; got.length < PIECES; now += 10) {
    const offered = offers();
    t.ok(offered.length <= 2);
    for (const [to, piece] of offered) {
      got.push(piece);
      serve(to, piece, now);
    }
    core.peerSlots(node, 0, 2, false, now);
  }
  t.same(got, [0, 1, 2, 3, 4, 5, 6, 7]);
  core.tick(10_000);
  t.same(offers(), [], 'and then nothing more');
});

await t.test('every piece is given once before any is given twice', async (t) => {
  const { core, peer, offers, serve } = setUp({ slots: 12 });
  for (let i = 0; i < 6; i++) peer(0, 2);
  const once = offers();
  t.same(new Set(once.map(([, piece]) => piece)), new Set([0, 1, 2, 3, 4, 5, 6, 7]));
  t.equal(once.length, 8);
  for (const [to, piece] of once) serve(to, piece, 10);
  core.tick(20);
  t.equal(offers().length, 4, 'the other slots of the peers are filled with second copies');
});

await t.test('every piece of all blobs is given once before any is given twice', async (t) => {
  const core = new SeedCore({ slots: 2 }, createRng(1));
  const pieces = [2, 12, 4];
  const blobs = pieces.map((count) => core.addBlob(count, full(count)));
  const peers = [0, 1, 2].map(() => core.addPeer(0));
  for (const peer of peers) {
    for (const blob of blobs) core.peerShares(peer, blob);
    core.peerSlots(peer, 0, 1, false, 0);
  }
  const given: string[] = [];
  for (let now = 10; given.length < 18; now += 10) {
    for (const { blob, peer, piece } of actionsOf(core)) {
      given.push(`${blob}:${piece}`);
      t.ok(core.admit(peer, blob, piece, now));
      core.uploaded(peer, now + 5);
      core.peerHas(peer, blob, piece, now + 5);
      core.peerSlots(peer, 0, 1, false, now + 5);
    }
  }
  t.equal(new Set(given).size, 18, given.join(' '));
  t.equal(new Set(given.slice(0, 6).map((each) => each.split(':')[0])).size, 3, 'blobs take turns');
});

await t.test('of what everybody was given, the least-given piece comes first', async (t) => {
  const { peer, offers, serve } = setUp({ slots: 2 }, full(2));
  peer(0, 1);
  peer(0, 1);
  for (const [to, piece] of offers()) serve(to, piece, 10);
  const third = peer(0, 1, 20);
  t.same(offers(), [[third, 0]], 'a tie goes in order');
  serve(third, 0, 30);
  const fourth = peer(0, 1, 40);
  t.same(offers(), [[fourth, 1]]);
});

await t.test('offers are spread over the neighbours', async (t) => {
  const { core, blob, offers } = setUp({ slots: 6 }, new Bitfield(PIECES));
  const peers = [0, 1, 2].map(() => core.addPeer(0));
  for (const peer of peers) {
    core.peerShares(peer, blob);
    core.peerSlots(peer, 0, 4, false, 0);
  }
  for (let piece = 0; piece < 6; piece++) core.landed(blob, piece, piece);
  const to = offers().map(([peer]) => peer);
  for (const peer of peers) t.equal(to.filter((other) => other === peer).length, 2);
});

await t.test('a piece is offered as soon as it has landed', async (t) => {
  const { core, blob, peer, offers } = setUp({}, new Bitfield(PIECES));
  const node = peer(0, 4);
  t.same(offers(), []);
  core.landed(blob, 5, 10);
  t.same(offers(), [[node, 5]]);
  core.landed(blob, 5, 20);
  t.same(offers(), [], 'once');
});

await t.test(
  'slots are kept for offers, and come back by decline, timeout, upload and departure',
  async (t) => {
    const { core, blob, peer, offers } = setUp({ slots: 4, offerTimeoutMs: 500 });
    const node = peer(0, 9);
    t.equal(offers().length, 4);
    t.equal(core.freeSlots, 0);
    t.notOk(core.admit(node, blob, 7, 5), 'an unoffered piece finds no slot');
    core.peerSlots(node, 0, 0, false, 10);
    core.declined(node, blob, 0, 10);
    t.equal(core.freeSlots, 1);
    t.ok(core.admit(node, blob, 1, 20), 'the kept slot is used');
    t.equal(core.freeSlots, 1);
    core.uploaded(node, 30);
    t.equal(core.freeSlots, 2);
    core.tick(600);
    t.equal(core.freeSlots, 4);
    t.ok(core.admit(node, blob, 7, 610), 'an unoffered piece finds a free slot');
    t.notOk(core.admit(node, blob, 99, 610), 'no such piece');
    core.removePeer(node, 620);
    t.equal(core.freeSlots, 4);
    core.uploaded(node, 630);
    t.equal(core.freeSlots, 4, 'a departed peer gives nothing back twice');
  },
);

await t.test(
  'a piece that was declined for want of slots is offered again, one that is not wanted is not',
  async (t) => {
    const { core, blob, peer, offers } = setUp({ slots: 1 });
    const node = peer(0, 1);
    t.same(offers(), [[node, 0]]);
    core.peerSlots(node, 0, 0, false, 10);
    core.declined(node, blob, 0, 10);
    core.peerSlots(node, 0, 1, false, 20);
    t.same(offers(), [[node, 0]]);
    core.peerSlots(node, 0, 1, false, 30);
    core.declined(node, blob, 0, 30);
    t.same(offers(), [[node, 1]]);
  },
);

await t.test('each zone gets each piece once; a second copy only when a peer there is stuck', async (t) => {
  const { core, blob, offers, serve, peer } = setUp({ slots: 16, stuckMs: 1000 }, full(4));
  const first = peer(1, 4);
  const far = peer(2, 4);
  const once = offers();
  t.same(
    once.filter(([to]) => to === first).map(([, piece]) => piece),
    [0, 1, 2, 3],
  );
  t.same(
    once.filter(([to]) => to === far).map(([, piece]) => piece),
    [0, 1, 2, 3],
  );
  for (const [to, piece] of once) serve(to, piece, 10);
  const late = peer(1, 4, 100);
  t.same(offers(), [], 'its zone has everything: neighbours will give it');
  core.tick(900);
  t.same(offers(), []);
  core.tick(1100);
  t.same(
    offers(),
    [0, 1, 2, 3].map((piece) => [late, piece]),
    'nobody did',
  );
  t.ok(core.has(blob, 0));
});

await t.test('a piece that never arrived counts as not given', async (t) => {
  const { core, blob, offers, peer } = setUp({ slots: 1, confirmTimeoutMs: 5000 }, full(1));
  const node = peer(1, 1);
  t.same(offers(), [[node, 0]]);
  t.ok(core.admit(node, blob, 0, 10));
  core.uploaded(node, 20);
  const other = peer(1, 1, 30);
  t.same(offers(), [], 'on its way in that zone');
  core.removePeer(node, 100);
  t.same(offers(), [[other, 0]]);
});

await t.test('a copy on its way has time to spread before another is given', async (t) => {
  const { core, blob, offers, peer } = setUp({ slots: 4, stuckMs: 1000 }, full(1));
  const slow = peer(0, 1);
  const other = peer(0, 1);
  const [first] = offers();
  t.ok(core.admit(first![0], blob, 0, 10));
  core.tick(500);
  t.same(offers(), []);
  core.tick(1010);
  t.same(offers(), [[first![0] === slow ? other : slow, 0]], 'it takes too long: the other is served');
});

await t.test('a removed or lost blob is offered no more', async (t) => {
  const { core, blob, offers, peer } = setUp({ slots: 2 });
  const node = peer(0, 1);
  t.same(offers(), [[node, 0]]);
  t.ok(core.admit(node, blob, 0, 10));
  core.lost(blob);
  core.peerSlots(node, 0, 1, false, 20);
  t.same(offers(), []);
  core.landed(blob, 3, 30);
  t.same(offers(), [[node, 3]]);
  core.removeBlob(blob);
  core.peerSlots(node, 0, 4, false, 40);
  t.same(offers(), []);
  core.uploaded(node, 50);
  t.equal(core.freeSlots, 2);
});

await t.test(
  'how nodes stand with a blob: who shares it, who lacks something, what they hold together',
  async (t) => {
    const { blob, core, peer } = setUp({}, new Bitfield(PIECES));
    t.same(core.spread(blob), { sharers: 0, lackers: 0, copies: 0 });
    const [all, some] = [peer(0, 1), peer(1, 1), peer(0, 1)];
    for (let piece = 0; piece < PIECES; piece++) core.peerHas(all ?? -1, blob, piece, 1);
    core.peerHas(some ?? -1, blob, 3, 1);
    t.same(core.spread(blob), { sharers: 3, lackers: 2, copies: PIECES + 1 });
    core.landed(blob, 3, 2);
    core.landed(blob, 4, 2);
    t.same(core.spread(blob), { sharers: 3, lackers: 2, copies: PIECES + 1 }, 'whatever we hold');
    core.removePeer(all ?? -1, 3);
    t.same(core.spread(blob), { sharers: 2, lackers: 2, copies: 1 });
  },
);

await t.test('each further zone has four slots more, as long as somebody is there', async (t) => {
  const { core, peer } = setUp({}, new Bitfield(PIECES));
  t.equal(core.freeSlots, 6);
  peer(0, 1);
  const far = [peer(1, 1), peer(1, 1), peer(2, 1)];
  t.equal(core.freeSlots, 14);
  core.removePeer(far[0]!, 0);
  t.equal(core.freeSlots, 14);
  for (const each of far.slice(1)) core.removePeer(each, 0);
  t.equal(core.freeSlots, 6);
});

await t.test('a gift that takes four times as long as usual is given again at once', async (t) => {
  const { core, blob, offers, peer } = setUp({ slots: 2 }, new Bitfield(64));
  const [quick, slow] = [peer(0, 1), peer(0, 0)];
  for (let piece = 0; piece < 10; piece++) {
    core.landed(blob, piece, piece * 20);
    t.same(offers(), [[quick, piece]]);
    core.admit(quick, blob, piece, piece * 20);
    core.uploaded(quick, piece * 20 + 10);
    core.peerHas(quick, blob, piece, piece * 20 + 10);
    core.peerHas(slow, blob, piece, piece * 20 + 10);
    core.peerSlots(quick, 0, piece < 9 ? 1 : 0, false, piece * 20 + 10);
  }
  core.peerSlots(slow, 0, 1, false, 200);
  core.landed(blob, 10, 200);
  t.same(offers(), [[slow, 10]]);
  core.admit(slow, blob, 10, 200);
  core.peerSlots(quick, 0, 1, false, 220);
  core.tick(230);
  t.same(offers(), [], 'it may still spread');
  core.tick(250);
  t.same(offers(), [[quick, 10]]);
});

await t.test('peers that take twice as long as usual are served last', async (t) => {
  const { core, blob, offers, peer } = setUp({ slots: 1 }, new Bitfield(64));
  const [slow, quick] = [peer(0, 0), peer(0, 0)];
  const give = (to: number, piece: number, now: number, tookMs: number): void => {
    core.peerSlots(to, 0, 1, false, now);
    core.landed(blob, piece, now);
    t.same(offers(), [[to, piece]]);
    core.admit(to, blob, piece, now);
    core.uploaded(to, now + tookMs);
    for (const each of [slow, quick]) core.peerHas(each, blob, piece, now + tookMs);
    core.peerSlots(to, 0, 0, false, now + tookMs);
  };
  for (let i = 0; i < 8; i++) {
    give(quick, 2 * i, i * 1000, 10);
    give(slow, 2 * i + 1, i * 1000 + 500, 100);
  }
  // The slow one has waited longer.
  give(quick, 16, 9000, 10);
  core.peerSlots(slow, 0, 1, false, 9100);
  core.peerSlots(quick, 0, 1, false, 9100);
  core.landed(blob, 17, 9200);
  t.same(offers(), [[quick, 17]]);
});

/** Gives away all pieces over a line that carries one each 20 ms, whatever is handed to the system before. */
function giveOverLine(travelMs: number) {
  const { core, blob, peer, offers } = setUp({ slots: 4 }, full(300));
  const down = 4;
  const free = new Map(Array.from({ length: 10 }, () => [peer(0, down), down]));
  const line: { readonly to: number; readonly piece: number }[] = [];
  const coming: { readonly to: number; readonly piece: number; readonly atMs: number }[] = [];
  let longest = 0;
  let idle = 0;
  let given = 0;
  for (let now = 10; given < 250; now += 10) {
    for (const [to, piece] of offers()) {
      t.ok(core.admit(to, blob, piece, now));
      core.uploaded(to, now);
      free.set(to, free.get(to)! - 1);
      line.push({ to, piece });
    }
    if (given > 100) longest = Math.max(longest, line.length);
    if (now % 20 === 0) {
      const sent = line.shift();
      if (sent === undefined) idle++;
      else coming.push({ ...sent, atMs: now + travelMs });
    }
    while (coming[0] !== undefined && coming[0].atMs <= now) {
      const { to, piece } = coming.shift()!;
      given++;
      free.set(to, free.get(to)! + 1);
      core.peerHas(to, blob, piece, now);
      core.peerSlots(to, 0, free.get(to)!, false, now);
    }
    if (now % 50 === 0) core.tick(now);
  }
  return { longest, idle };
}

await t.test('what only waits on a full line is soon no more than it takes to keep it busy', async (t) => {
  const { idle, longest } = giveOverLine(0);
  t.ok(longest <= 12, `${longest} pieces waited`);
  t.ok(idle <= 2, `idle for ${idle * 20} ms`);
});

await t.test('a long way is no full line: as much is under way as it holds', async (t) => {
  const { idle } = giveOverLine(200);
  t.ok(idle <= 15, `idle for ${idle * 20} ms, the first of it before the first piece is there`);
});

import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import type { PeerCoreOptions } from '../../lib/swarm/peer-core-options.ts';
import { actionsOf, type Decision } from './actions-of.ts';

const NODE = 'node';

function setUp(options: Partial<PeerCoreOptions> = {}, pieces = 16) {
  const core = new PeerCore(options, createRng(1));
  const blob = core.addBlob(pieces, undefined, 0, 0);
  const neighbour = (held: number[], up = 4, kind: 'node' | 'supernode' = NODE, sameZone = true): number => {
    const peer = core.addPeer(kind, sameZone, 0);
    core.peerShares(peer, blob);
    for (const piece of held) core.peerHas(peer, blob, piece, 0);
    if (up > 0) core.peerSlots(peer, up, 4, false, 0);
    return peer;
  };
  return { core, blob, neighbour };
}

function of(decisions: Decision[], kind: Decision['kind']): Decision[] {
  return decisions.filter((decision) => decision.kind === kind);
}

const ALL = Array.from({ length: 16 }, (_, piece) => piece);

await t.test('a node fills its download slots and no more', async (t) => {
  const { core, neighbour } = setUp();
  neighbour(ALL, 10);
  const requests = of(actionsOf(core), 'request');
  t.equal(requests.length, 4);
  t.equal(new Set(requests.map(({ piece }) => piece)).size, 4, 'each for another piece');
  t.equal(core.freeDownloads, 0);
});

await t.test('a neighbour is never asked beyond the slots that it told, and told that we wait', async (t) => {
  const { core, neighbour } = setUp();
  const peer = neighbour(ALL, 1);
  const first = actionsOf(core);
  t.equal(of(first, 'request').length, 1);
  t.same(
    of(first, 'hungry').map((decision) => decision.peer),
    [peer, peer].slice(0, of(first, 'hungry').length),
  );
  t.ok(of(first, 'hungry').length > 0, 'it knows that we wait');
  core.peerSlots(peer, 2, 0, false, 10);
  t.equal(of(actionsOf(core), 'request').length, 2);
});

await t.test('a neighbour that sends wrong bytes is asked no more, and may ask', async (t) => {
  const { blob, core, neighbour } = setUp({ downloadSlots: 1 });
  const spoiler = neighbour([0]);
  const [asked] = of(actionsOf(core), 'request');
  t.equal(asked?.peer, spoiler);
  core.failed(asked!.request, 'corrupt', 1);
  t.equal(core.holders(blob, 0), 0, 'what it holds does not count');
  core.peerHas(spoiler, blob, 1, 2);
  core.peerSlots(spoiler, 4, 4, false, 2);
  core.tick(5000);
  t.same(of(actionsOf(core), 'request'), []);
  const other = core.addBlob(4, undefined, 0, 5000);
  core.peerShares(spoiler, other);
  core.peerHas(spoiler, other, 0, 5000);
  t.equal(core.holders(other, 0), 0, 'nor of any other blob');
  core.obtained(blob, 7, 5000);
  t.equal(core.admit(spoiler, blob, 7, 5000), true, 'it gets what we hold');
});

await t.test('in the line for upload slots it stands behind those who wait, piece by piece', async (t) => {
  const { blob, core, neighbour } = setUp({ uploadSlots: 1 });
  const [spoiler, honest] = [neighbour([]), neighbour([])];
  for (const piece of [0, 1]) core.obtained(blob, piece, 0);
  core.distrust(spoiler, 0);
  t.equal(core.admit(spoiler, blob, 0, 1), true);
  t.equal(core.admit(honest, blob, 0, 2), false, 'it waits');
  actionsOf(core);
  core.uploaded(spoiler, 3);
  t.same(
    of(actionsOf(core), 'slots').map(({ peer }) => peer),
    [honest],
  );
  t.equal(core.freeUploadsFor(spoiler), 0);
});

await t.test('whoever has most free slots is asked first', async (t) => {
  const { core, neighbour } = setUp({ downloadSlots: 1 });
  const busy = core.addPeer(NODE, true, 0);
  core.peerSlots(busy, 4, 0, false, 0);
  core.peerSlots(busy, 1, 0, false, 0);
  core.peerShares(busy, 0);
  const idle = neighbour([], 4);
  const request = core.reserve(0, 5);
  t.ok(request);
  core.peerHas(busy, 0, 5, 0);
  core.peerHas(idle, 0, 5, 0);
  t.equal(of(actionsOf(core), 'request').length, 0, 'what the caller reads itself is not asked for');
  core.unreserve(0, 5);
  core.tick(100);
  t.same(
    of(actionsOf(core), 'request').map(({ peer }) => peer),
    [idle],
  );
});

await t.test('a peer that takes much longer than others is asked less', async (t) => {
  const { core, neighbour } = setUp({ downloadSlots: 1, slowFactor: 1e6, suspectMs: 1e6 }, 400);
  const everything = Array.from({ length: 400 }, (_, piece) => piece);
  const slow = neighbour(everything, 4);
  const fast = neighbour(everything, 4);
  let now = 0;
  const asked = [0, 0];
  for (let round = 0; round < 300; round++) {
    const [request] = of(actionsOf(core), 'request');
    asked[request!.peer]!++;
    now += request!.peer === slow ? 500 : 50;
    core.received(request!.request, now);
    core.peerSlots(slow, 4, 0, false, now);
    core.peerSlots(fast, 4, 0, false, now);
  }
  t.ok(asked[slow]! > 0, 'known only by trying');
  t.ok(asked[fast]! > 4 * asked[slow]!, JSON.stringify(asked));
});

await t.test(
  'a node mostly goes on with the neighbour that it just had a piece from, or tells it that it does not',
  async (t) => {
    for (const stayShare of [1, 0]) {
      const { core, neighbour } = setUp({ downloadSlots: 1, stayShare });
      const first = neighbour(ALL, 1);
      const second = neighbour(ALL, 4);
      const [request] = of(actionsOf(core), 'request');
      t.equal(request?.peer, first);
      core.peerSlots(first, 0, 0, undefined, 10);
      core.received(request!.request, 20);
      const next = actionsOf(core);
      t.equal(of(next, 'request')[0]?.peer, stayShare === 1 ? first : second);
      t.same(
        of(next, 'slots').map(({ peer }) => peer),
        stayShare === 1 ? [] : [first],
      );
    }
  },
);

await t.test('half of the choices go in order from the cursor on', async (t) => {
  const { core, blob, neighbour } = setUp({ inOrderShare: 1 });
  core.setCursor(blob, 10);
  neighbour(ALL);
  const pieces = of(actionsOf(core), 'request').map(({ piece }) => piece);
  t.same(pieces, [10, 11, 12, 13]);
});

await t.test('what lies before the cursor is taken when the rest is here', async (t) => {
  const { core, blob, neighbour } = setUp({ inOrderShare: 1 });
  for (let piece = 10; piece < 16; piece++) core.obtained(blob, piece, 0);
  actionsOf(core);
  core.setCursor(blob, 10);
  neighbour(ALL);
  t.same(
    of(actionsOf(core), 'request').map(({ piece }) => piece),
    [0, 1, 2, 3],
  );
});

await t.test('the other choices prefer pieces that few neighbours hold', async (t) => {
  const { core, blob, neighbour } = setUp({ inOrderShare: 0, downloadSlots: 1 });
  for (let i = 0; i < 3; i++) neighbour(ALL.slice(0, 15), 0);
  const peer = neighbour(ALL, 0);
  core.peerSlots(peer, 1, 0, false, 0);
  t.same(
    of(actionsOf(core), 'request').map(({ piece }) => piece),
    [15],
  );
  t.equal(core.holders(blob, 15), 1);
  t.equal(core.holders(blob, 0), 4);
});

await t.test('a more urgent blob comes first', async (t) => {
  const { core, blob, neighbour } = setUp();
  const urgent = core.addBlob(16, undefined, -1, 0);
  const peer = neighbour([]);
  core.peerShares(peer, urgent);
  core.peerSlots(peer, 0, 0, false, 0);
  for (const piece of ALL.slice(0, 2)) core.peerHas(peer, urgent, piece, 0);
  for (const piece of ALL) core.peerHas(peer, blob, piece, 0);
  core.peerSlots(peer, 4, 0, false, 0);
  t.same(
    of(actionsOf(core), 'request').map((decision) => decision.blob),
    [urgent, urgent, blob, blob],
  );
});

await t.test('a silent request frees its slot and its piece, and the late copy may still win', async (t) => {
  const { core, blob, neighbour } = setUp({ downloadSlots: 1 }, 1);
  const slow = neighbour([0]);
  const [first] = of(actionsOf(core), 'request');
  const other = neighbour([0]);
  core.tick(190);
  t.equal(of(actionsOf(core), 'request').length, 0, 'not yet suspect');
  core.tick(210);
  const [second] = of(actionsOf(core), 'request');
  t.equal(second?.peer, other);
  t.equal(core.inFlight(blob), 1);
  core.received(first!.request, 350);
  const won = actionsOf(core);
  t.same(
    of(won, 'cancel').map(({ request }) => request),
    [second!.request],
  );
  t.equal(of(won, 'have').length, 1);
  t.equal(slow, first!.peer);
  t.ok(core.has(blob, 0));
  core.received(second!.request, 360);
  t.equal(of(actionsOf(core), 'have').length, 0, 'a cancelled request is over');
});

await t.test('a suspect peer is asked again once its bytes come', async (t) => {
  const { core, neighbour } = setUp({ downloadSlots: 1 }, 4);
  const peer = neighbour([0, 1]);
  const [first] = of(actionsOf(core), 'request');
  core.tick(400);
  t.equal(of(actionsOf(core), 'request').length, 0, 'nobody else has it, and the peer is suspect');
  t.equal(core.freeDownloads, 1);
  core.progressed(first!.request, 450);
  t.equal(core.freeDownloads, 0, 'the same request goes on');
  core.received(first!.request, 460);
  t.equal(of(actionsOf(core), 'request')[0]?.peer, peer);
});

await t.test('an unreachable peer is asked again after a pause that grows', async (t) => {
  const { core, neighbour } = setUp({ downloadSlots: 1, backoffMs: 200 }, 1);
  neighbour([0], 4);
  let now = 0;
  const pauses: number[] = [];
  for (let round = 0; round < 3; round++) {
    const [request] = of(actionsOf(core), 'request');
    core.failed(request!.request, 'unreachable', now);
    const failedAt = now;
    while (core.freeDownloads > 0) core.tick((now += 100));
    pauses.push(now - failedAt);
  }
  t.same(pauses, [200, 400, 800]);
});

await t.test('a peer that sent wrong bytes is never asked again', async (t) => {
  const { core, neighbour } = setUp({ downloadSlots: 1 }, 1);
  neighbour([0]);
  core.failed(of(actionsOf(core), 'request')[0]!.request, 'corrupt', 0);
  for (let now = 0; now < 60_000; now += 100) core.tick(now);
  t.equal(of(actionsOf(core), 'request').length, 0);
});

await t.test('a peer that does not have the piece is not asked for it again', async (t) => {
  const { core, blob, neighbour } = setUp({ downloadSlots: 1 }, 1);
  neighbour([0]);
  core.failed(of(actionsOf(core), 'request')[0]!.request, 'missing', 0);
  core.tick(5000);
  t.equal(of(actionsOf(core), 'request').length, 0);
  t.equal(core.holders(blob, 0), 0);
});

await t.test('our own failure pauses all requests', async (t) => {
  const { core, neighbour } = setUp({ downloadSlots: 1, localPauseMs: 1000 }, 1);
  neighbour([0]);
  core.failed(of(actionsOf(core), 'request')[0]!.request, 'local', 0);
  core.tick(900);
  t.equal(of(actionsOf(core), 'request').length, 0);
  core.tick(1000);
  t.equal(of(actionsOf(core), 'request').length, 1);
});

await t.test('another zone is asked only after a time without progress in ours', async (t) => {
  const { core, neighbour } = setUp({ remoteAfterMs: 1000 });
  neighbour(ALL, 4, NODE, false);
  core.tick(900);
  t.equal(of(actionsOf(core), 'request').length, 0);
  core.tick(1000);
  t.equal(of(actionsOf(core), 'request').length, 4);
});

await t.test('an offer becomes a request, or a decline when there is no use for it', async (t) => {
  const { core, blob, neighbour } = setUp({ downloadSlots: 1 });
  const seed = neighbour([], 0, 'supernode');
  core.offered(seed, blob, 3, 0);
  core.offered(seed, blob, 4, 0);
  t.same(
    actionsOf(core)
      .filter(({ kind }) => kind !== 'hungry')
      .map(({ kind, piece }) => [kind, piece]),
    [
      ['request', 3],
      ['decline', 4],
    ],
  );
});

await t.test('the offer of a piece that was asked for is taken in any case but three', async (t) => {
  const { blob, core, neighbour } = setUp();
  const seed = neighbour([], 0, 'supernode');
  neighbour(ALL.slice(0, 8), 8);
  const taken = (piece: number, now: number, awaited: boolean): boolean => {
    core.offered(seed, blob, piece, now, awaited);
    const [answer] = actionsOf(core).filter(({ peer }) => peer === seed);
    t.same([answer?.piece, answer?.kind === 'request' || answer?.kind === 'decline'], [piece, true]);
    return answer?.kind === 'request';
  };
  actionsOf(core);
  t.equal(core.freeDownloads, 0);
  t.notOk(taken(9, 10, false), 'others fill our slots');
  t.ok(taken(9, 10, true), 'a client waits for it');
  t.notOk(taken(9, 10, true), 'not twice');
  core.tick(300);
  actionsOf(core);
  t.notOk(taken(10, 300, false), 'no byte has come of the other piece');
  t.ok(taken(10, 300, true), 'it has just said that it is there');
  core.distrust(seed, 310);
  actionsOf(core);
  t.notOk(taken(11, 310, true), 'it sends wrong bytes');
  const other = neighbour([], 0, 'supernode');
  core.offered(other, blob, 12, 320, true);
  const [asked] = of(actionsOf(core), 'request').filter(({ peer }) => peer === other);
  core.failed(asked!.request, 'local', 320);
  actionsOf(core);
  core.offered(other, blob, 12, 330, true);
  t.equal(of(actionsOf(core), 'decline').length, 1, 'our own disk fails');
});

await t.test('a supernode is asked only when nothing else moves, for what it offered before', async (t) => {
  const { core, blob, neighbour } = setUp({ downloadSlots: 1, askSupernodeAfterMs: 1000 }, 4);
  const seed = neighbour([], 0, 'supernode');
  core.offered(seed, blob, 1, 0);
  const [first] = of(actionsOf(core), 'request');
  core.offered(seed, blob, 2, 10);
  core.peerSlots(seed, 3, 0, false, 10);
  core.received(first!.request, 20);
  t.equal(of(actionsOf(core), 'request').length, 0);
  core.tick(900);
  t.equal(of(actionsOf(core), 'request').length, 0);
  core.tick(1100);
  t.same(
    of(actionsOf(core), 'request').map(({ peer, piece }) => [peer, piece]),
    [[seed, 2]],
  );
});

await t.test('where everyone has just begun, pieces come and go one at a time', async (t) => {
  const { core, blob, neighbour } = setUp();
  const beginners = [neighbour([0, 1]), neighbour([2])];
  const [first, ...others] = of(actionsOf(core), 'request');
  t.same(others, [], 'one request, although there are pieces and slots for more');
  core.received(first!.request, 10);
  t.equal(core.freeUploadsFor(-1), 1, 'the first piece is given to one neighbour at a time');
  t.ok(core.admit(beginners[1]!, blob, first!.piece, 10));
  t.notOk(core.admit(beginners[0]!, blob, first!.piece, 10));
  core.received(of(actionsOf(core), 'request')[0]!.request, 20);
  t.equal(core.freeUploadsFor(-1), 3, 'with two pieces it is like any other node');
  t.equal(of(actionsOf(core), 'request').length + core.freeDownloads, 4);
});

await t.test('a newcomer in a swarm that is under way uses all its slots at once', async (t) => {
  const { core, neighbour } = setUp();
  neighbour([0, 1, 2, 3, 4, 5, 6, 7]);
  t.equal(of(actionsOf(core), 'request').length, 4);
});

await t.test('a lost blob is asked for again from the beginning', async (t) => {
  const { core, blob, neighbour } = setUp({}, 2);
  neighbour([0, 1]);
  for (const now of [10, 20]) {
    for (const { request } of of(actionsOf(core), 'request')) core.received(request, now);
  }
  t.equal(core.held(blob), 2);
  core.lost(blob);
  t.equal(core.held(blob), 0);
  core.tick(100);
  t.ok(of(actionsOf(core), 'request').length > 0);
});

await t.test('what leaves takes its requests along', async (t) => {
  const { core, blob, neighbour } = setUp();
  const peer = neighbour(ALL);
  const asked = of(actionsOf(core), 'request').map(({ request }) => request);
  t.equal(core.freeDownloads, 0);
  core.removePeer(peer, 10);
  t.same(new Set(of(actionsOf(core), 'cancel').map(({ request }) => request)), new Set(asked));
  t.ok(core.freeDownloads > 0);
  t.equal(core.holders(blob, 3), 0);
  neighbour(ALL);
  actionsOf(core);
  core.removeBlob(blob, 20);
  t.equal(of(actionsOf(core), 'cancel').length, 4);
  t.equal(core.freeDownloads, 4);
});

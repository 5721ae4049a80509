import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { actionsOf } from './actions-of.ts';

const WINDOW_MS = 250;
const PIECES = 2000;
/** Pieces that each neighbour gets in a window: with four slots, one takes 50 ms. */
const USUAL_GAIN = 20;

/** A node with neighbours that get a piece every 12.5 ms and have a free slot whenever it asks. */
function setUp() {
  const core = new PeerCore({}, createRng(1));
  const blob = core.addBlob(PIECES, undefined, 0, 0);
  const peers = Array.from({ length: 5 }, () => {
    const peer = core.addPeer('node', true, 0);
    core.peerShares(peer, blob);
    return peer;
  });
  const live = new Map<number, number>();
  /** What every neighbour gets next. */
  let next = 0;
  let gained = 0;
  let now = 0;
  const follow = (): void => {
    for (const { kind, request } of actionsOf(core)) {
      if (kind === 'request') live.set(request, now);
      else if (kind === 'cancel') live.delete(request);
    }
  };
  return {
    core,
    live,
    /** Lets time pass; requests take so long, and neighbours get pieces or have all they will ever have. */
    pass: (ms: number, requestMs: number, gain: number): void => {
      for (const end = now + ms; now < end; ) {
        now += 10;
        for (const [request, since] of [...live]) {
          if (now - since >= requestMs) {
            live.delete(request);
            core.received(request, now);
          } else core.progressed(request, now);
          follow();
        }
        for (gained += (gain * 10) / WINDOW_MS; gained >= 1; gained--) {
          for (const peer of peers) core.peerHas(peer, blob, next % PIECES, now);
          next++;
          follow();
        }
        for (const peer of peers) core.peerSlots(peer, 4, 4, false, now);
        follow();
        if (now % 50 === 0) core.tick(now);
        follow();
      }
    },
  };
}

t.test('a node that keeps up with its neighbours uses all its slots', async (t) => {
  const { core, live, pass } = setUp();
  pass(4 * WINDOW_MS, 50, USUAL_GAIN);
  t.equal(live.size, 4);
  t.equal(core.freeUploadsFor(0), 4);
});

t.test(
  'one that is ten times slower uses one slot each way, and all again when others have no need',
  async (t) => {
    const { core, live, pass } = setUp();
    pass(4 * WINDOW_MS, 500, USUAL_GAIN);
    pass(4 * WINDOW_MS, 130, USUAL_GAIN);
    t.equal(live.size, 1);
    t.equal(core.freeUploadsFor(0), 1);
    pass(2 * WINDOW_MS, 130, 0);
    t.ok(live.size > 1, 'nobody is in a hurry any more');
    pass(4 * WINDOW_MS, 130, 0);
    t.equal(live.size, 4);
    t.equal(core.freeUploadsFor(0), 4);
  },
);

t.test('one that is starved, but quick when it gets something, keeps its slots', async (t) => {
  const { core, pass } = setUp();
  pass(8 * WINDOW_MS, 20, USUAL_GAIN);
  t.equal(core.freeUploadsFor(0), 4);
});

t.test('a slow neighbour is asked only when nothing else is under way', async (t) => {
  const pieces = 400;
  const core = new PeerCore({ downloadSlots: 2 }, createRng(1));
  const blob = core.addBlob(pieces, undefined, 0, 0);
  const [slow, quick] = [0, 1].map(() => {
    const peer = core.addPeer('node', true, 0);
    core.peerShares(peer, blob);
    for (let piece = 0; piece < pieces; piece++) core.peerHas(peer, blob, piece, 0);
    return peer;
  }) as [number, number];
  const live = new Map<number, { readonly peer: number; readonly since: number }>();
  let now = 0;
  let askedSlow = 0;
  const follow = (): void => {
    for (const { kind, peer, request } of actionsOf(core)) {
      if (kind === 'cancel') live.delete(request);
      if (kind !== 'request') continue;
      live.set(request, { peer, since: now });
      if (peer === slow) askedSlow++;
    }
  };
  /** Both have one slot; the slow one takes three times as long for a piece. */
  const pass = (ms: number): void => {
    for (const end = now + ms; now < end; now += 10) {
      for (const [request, { peer, since }] of [...live]) {
        if (now - since < (peer === slow ? 150 : 50)) core.progressed(request, now);
        else if (live.delete(request)) core.received(request, now);
        follow();
      }
      const busy = new Set([...live.values()].map(({ peer }) => peer));
      for (const peer of [slow, quick]) if (!busy.has(peer)) core.peerSlots(peer, 1, 0, false, now);
      follow();
    }
  };
  pass(3000);
  t.ok(askedSlow > 0, 'first it is asked like anybody');
  const before = askedSlow;
  pass(1000);
  t.ok(askedSlow - before <= 1, `asked ${askedSlow - before} times while the other one is quicker`);
  core.removePeer(quick, now);
  follow();
  pass(1000);
  t.ok(askedSlow - before >= 5, 'better than nothing');
});

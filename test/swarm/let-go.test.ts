import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { actionsOf, type Decision } from './actions-of.ts';

/** A node with one download slot. */
function setUp() {
  const core = new PeerCore({ downloadSlots: 1 }, createRng(1));
  const blob = core.addBlob(16, undefined, 0, 0);
  const neighbour = (held: number[]): number => {
    const peer = core.addPeer('node', true, 0);
    core.peerShares(peer, blob);
    for (const piece of held) core.peerHas(peer, blob, piece, 0);
    core.peerSlots(peer, 4, 4, false, 0);
    return peer;
  };
  return { core, blob, neighbour };
}

function asked(core: PeerCore): Decision[] {
  return actionsOf(core).filter(({ kind }) => kind === 'request');
}

t.test('what a peer was asked for and sends nothing of can be read elsewhere', async (t) => {
  const { blob, core, neighbour } = setUp();
  const silent = neighbour([5]);
  const [first] = asked(core);
  t.notOk(core.reserve(blob, 5), 'it was only just asked');
  core.letGo(blob, 5);
  t.equal(core.freeDownloads, 1);
  t.ok(core.reserve(blob, 5));
  neighbour([5]);
  core.tick(10);
  t.same(asked(core), [], 'nobody else is asked meanwhile');
  core.progressed(first!.request, 20);
  core.received(first!.request, 30);
  t.ok(core.has(blob, 5), 'it may win');
  core.peerHas(silent, blob, 6, 40);
  const [next] = asked(core);
  core.progressed(next!.request, 50);
  core.letGo(blob, 6);
  t.notOk(core.reserve(blob, 6), 'bytes of this one come');
});

t.test('what let go of its piece loses to the registry, and is late in its time', async (t) => {
  const { blob, core, neighbour } = setUp();
  const silent = neighbour([5]);
  const [first] = asked(core);
  core.letGo(blob, 5);
  core.reserve(blob, 5);
  core.tick(250);
  core.peerHas(silent, blob, 6, 260);
  t.same(asked(core), [], 'its peer is suspect');
  core.obtained(blob, 5, 300);
  const cancelled = actionsOf(core).filter(({ kind }) => kind === 'cancel');
  t.same(
    cancelled.map(({ request }) => request),
    [first!.request],
  );
});

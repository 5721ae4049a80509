import t, { type Test } from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { Memory } from '../../lib/swarm/memory.ts';
import { PeerCore } from '../../lib/swarm/peer-core.ts';
import { SharedBlob } from '../../lib/swarm/shared-blob.ts';
import { actionsOf } from './actions-of.ts';

const STEPS = 3000;

/** The same in sets: peer -> its pieces, in the order of rows as far as it matters. */
class Model {
  readonly held = new Set<number>();
  readonly busy = new Set<number>();
  readonly peers = new Map<number, Set<number>>();
  /** Supernodes, and neighbours that do not count as holders for another reason. */
  readonly uncounted = new Set<number>();

  wants(piece: number): boolean {
    return !this.held.has(piece) && !this.busy.has(piece);
  }

  holders(piece: number): number {
    return [...this.peers].filter(([peer, has]) => !this.uncounted.has(peer) && has.has(piece)).length;
  }

  /** Wanted pieces of those peers, from `start` on and around. */
  wanted(peers: readonly number[], pieces: number, start: number): number[] {
    const all = Array.from({ length: pieces }, (_, i) => (start + i) % pieces);
    return all.filter((piece) => this.wants(piece) && peers.some((peer) => this.peers.get(peer)!.has(piece)));
  }
}

function compare(t: Test, blob: SharedBlob, model: Model, pieces: number): void {
  t.equal(blob.count, model.held.size);
  t.equal(blob.rows, model.peers.size);
  for (const [peer, has] of model.peers) {
    const row = blob.rowOf(peer);
    t.equal(blob.sharer(row), peer);
    t.equal(
      blob.useful(row),
      [...has].some((piece) => model.wants(piece)),
    );
    t.equal(
      blob.lacks(row),
      [...model.held].some((piece) => !has.has(piece)),
    );
  }
  for (let piece = 0; piece < pieces; piece++) {
    if (blob.holders(piece) !== model.holders(piece)) t.fail(`holders of ${piece}`);
    if (blob.wants(piece) !== model.wants(piece)) t.fail(`wants ${piece}`);
  }
}

for (const { pieces, peers } of [
  { pieces: 1, peers: 3 },
  { pieces: 70, peers: 12 },
  { pieces: 64, peers: 60 },
]) {
  t.test(`${pieces} pieces and up to ${peers} neighbours are counted right, whatever happens`, async (t) => {
    const rng = createRng(pieces);
    const memory = new Memory(pieces === 64 ? 4096 : 0);
    const blob = new SharedBlob(pieces, undefined, 0, 0, memory);
    const model = new Model();
    for (let step = 0; step < STEPS; step++) {
      const peer = rng.int(peers);
      const piece = rng.int(pieces);
      const has = model.peers.get(peer);
      const row = blob.rowOf(peer);
      switch (rng.int(has === undefined ? 1 : 12)) {
        case 0:
          if (has !== undefined && rng.int(8) === 0) {
            blob.removeSharer(peer);
            model.peers.delete(peer);
            model.uncounted.delete(peer);
          } else if (has === undefined) {
            blob.addSharer(peer, peer % 5 === 0);
            if (peer % 5 === 0) model.uncounted.add(peer);
            model.peers.set(peer, new Set());
          }
          break;
        case 1:
          blob.clearPeerHas(row, piece);
          has!.delete(piece);
          break;
        case 2:
          if (model.wants(piece)) model.busy.add(piece);
          blob.setBusy(piece);
          break;
        case 3:
          model.busy.delete(piece);
          blob.clearBusy(piece);
          break;
        case 4:
          if (model.held.size > pieces / 2) break;
          t.equal(blob.gain(piece), !model.held.has(piece));
          model.held.add(piece);
          model.busy.delete(piece);
          break;
        case 5:
          if (rng.int(100) > 0) break;
          blob.reset();
          model.held.clear();
          model.busy.clear();
          break;
        case 6:
          if (rng.int(20) > 0) break;
          blob.discount(row);
          model.uncounted.add(peer);
          break;
        default:
          blob.setPeerHas(row, piece);
          has!.add(piece);
      }
      if (step % 50 > 0 || model.peers.size === 0) continue;
      compare(t, blob, model, pieces);
      const some = [...model.peers.keys()].filter(() => rng.int(2) === 0);
      const rows = Int32Array.from(some, (each) => blob.rowOf(each));
      const inOrder = model.wanted(some, pieces, 0);
      t.equal(blob.firstIn(rows, rows.length), inOrder[0] ?? -1);
      const sample = 1 + rng.int(pieces);
      const looked = model.wanted(some, pieces, piece).slice(0, sample);
      const fewest = Math.min(...looked.map((each) => model.holders(each)));
      t.equal(
        blob.rareIn(rows, rows.length, sample, piece),
        looked.find((each) => model.holders(each) === fewest) ?? -1,
      );
    }
  });
}

t.test('cores that share memory and actions decide as they do alone', async (t) => {
  const memory = new Memory(2048);
  const first = new PeerCore({}, createRng(7));
  const shared = [1, 2, 7].map((seed) => new PeerCore({}, createRng(seed), first.actions, memory));
  const alone = new PeerCore({}, createRng(7));
  const rng = createRng(3);
  const cores = [...shared, alone];
  for (const core of cores) {
    core.addBlob(200, undefined, 0, 0);
    for (let peer = 0; peer < 30; peer++) core.peerShares(core.addPeer('node', true, 0), 0);
  }
  for (let step = 0; step < 2000; step++) {
    const [op, peer, piece, up] = [rng.int(4), rng.int(30), rng.int(200), rng.int(3)];
    const [, , expected, got] = cores.map((core) => {
      if (op === 0) core.peerHasAll(peer, 0, [piece, (piece + 7) % 200], step);
      else if (op === 1) core.peerSlots(peer, up, 1, undefined, step);
      else if (op === 2) core.received(up, step);
      else core.admit(peer, 0, piece, step);
      return actionsOf(core);
    });
    t.same(got, expected);
  }
  t.ok(alone.held(0) > 50);
});

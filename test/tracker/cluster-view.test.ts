import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { createRng, type Rng } from '../../lib/runtime/rng.ts';
import type { ReportedBlob, ReportMessage } from '../../lib/wire/report-messages.ts';
import { ClusterView } from '../../tracker/live/cluster-view.ts';
import type { LiveMessage } from '../../tracker/live/live-messages.ts';
import { apply, NOTHING, type State } from '../../tracker/live/page/state.ts';

const COUNTS = { members: 0, supernodes: 0, swarms: 0 };
const NO_BYTES = {
  ...{ origin: 0, objectStore: 0, supernode: 0, peer: 0, archive: 0 },
  ...{ toPeers: 0, toClients: 0 },
};
const MIB = 1024 * 1024;
const PIECES = 40;

const digest = (n: number): string => digestOf(Buffer.from(`layer ${n}`));
const peer = (n: number): PeerInfo => ({
  id: n.toString(16).padStart(40, '0'),
  role: n % 10 === 0 ? 'supernode' : 'node',
  host: `10.0.${n >> 8}.${n & 255}`,
  port: 65_002,
  zone: `zone-${n % 3}`,
});
const report = (changes: Partial<ReportMessage>): ReportMessage => ({
  ...{ type: 'report', bytes: NO_BYTES, blobs: [], gone: [], from: [], bans: [] },
  ...changes,
});
const stamp = (refresh: number): Pick<LiveMessage, 'refresh' | 'atMs' | 'everyMs'> => ({
  ...{ refresh, atMs: refresh * 1000, everyMs: 1000 },
});

/** What a page shows of it, in an order of its own. */
function shown({ members, swarms }: State): object {
  return {
    members: [...members.values()].sort((a, b) => a.n - b.n),
    swarms: [...swarms.values()]
      .map((swarm) => ({ ...swarm, have: [...swarm.have].sort(([a], [b]) => a - b) }))
      .sort((a, b) => a.n - b.n),
  };
}

/** One member at random comes, goes, or reports what a real one could. */
class Crowd {
  readonly view = new ClusterView();
  readonly #rng: Rng;
  readonly #there = new Map<number, Map<number, ReportedBlob>>();

  constructor(seed: number) {
    this.#rng = createRng(seed);
  }

  step(members: number): void {
    const n = this.#rng.int(members);
    const { id } = peer(n);
    const blobs = this.#there.get(n);
    if (blobs === undefined || this.#rng.int(20) === 0) {
      if (blobs !== undefined && this.#rng.int(2) === 0) {
        this.view.leave(id);
        this.#there.delete(n);
        return;
      }
      this.view.join(peer(n));
      this.#there.set(n, new Map());
      return;
    }
    if (this.#rng.int(15) === 0) blobs.clear();
    const fresh = blobs.size === 0 ? ({ fresh: true, version: '1.2.3' } as const) : {};
    const handle = this.#rng.int(5);
    const gone = blobs.has(handle) && this.#rng.int(4) === 0;
    if (gone) blobs.delete(handle);
    const held = this.#rng.int(PIECES + 1);
    const news = blobs.has(handle) ? {} : { digest: digest(handle), size: PIECES * MIB, pieces: PIECES };
    const blob = { handle, held, readers: this.#rng.int(2), ...news };
    if (!gone) blobs.set(handle, blob);
    const bytes = { ...NO_BYTES, peer: this.#rng.int(MIB) };
    const from = [[peer(this.#rng.int(members)).id, 5]] as const;
    this.view.report(
      id,
      report({ ...fresh, bytes, from, ...(gone ? { gone: [handle] } : { blobs: [blob] }) }),
      0,
    );
  }
}

t.test('whoever has heard of all changes knows what a page knows that gets the whole picture', async (t) => {
  for (let seed = 1; seed <= 30; seed++) {
    const crowd = new Crowd(seed);
    const rng = createRng(seed + 1000);
    let state = apply(NOTHING, crowd.view.whole(COUNTS, stamp(0)));
    for (let refresh = 1; refresh <= 40; refresh++) {
      for (let steps = rng.int(12); steps > 0; steps--) crowd.step(12);
      state = apply(state, crowd.view.takeChanges(COUNTS, stamp(refresh)));
      const whole = apply(NOTHING, crowd.view.whole(COUNTS, stamp(refresh)));
      t.same(shown(state), shown(whole), `seed ${seed}, refresh ${refresh}`, { bail: true });
    }
  }
});

t.test('the numbers are those of the reports', async (t) => {
  const view = new ClusterView();
  for (const n of [0, 1, 2]) view.join(peer(n));
  const blob = { digest: digest(1), size: PIECES * MIB, pieces: PIECES };
  const told = { fresh: true, version: '0.1.0' } as const;
  view.report(
    peer(0).id,
    report({
      ...told,
      bytes: { ...NO_BYTES, origin: 40, toPeers: 30 },
      blobs: [{ handle: 3, ...blob, held: PIECES, readers: 0 }],
    }),
    0,
  );
  view.report(
    peer(1).id,
    report({
      ...told,
      bytes: { ...NO_BYTES, supernode: 30, toClients: 7 },
      blobs: [{ handle: 0, ...blob, held: PIECES - 1, readers: 1 }],
      from: [[peer(0).id, 30]],
      slow: { cause: 'transfer', on: peer(0).id, ms: 800, ofMs: 1000 },
      bans: [{ peer: peer(2).id, reason: 'corrupt-piece' }],
    }),
    77,
  );
  const { bans, edges, have, members, slow, swarms, totals } = view.takeChanges(
    { members: 3, supernodes: 1, swarms: 9 },
    stamp(1),
  );
  const [supernode, node] = [members[0]!.n, members[1]!.n];
  t.match(totals, {
    members: 3,
    supernodes: 1,
    swarms: 9,
    reporting: 2,
    origin: 40,
    supernode: 30,
    toClients: 7,
  });
  t.match(swarms, [{ digest: digest(1), sharers: 2, complete: 1, reading: 1, percent: 97 }]);
  t.same(have.length, 2);
  t.same(edges, [[supernode, node, 30]]);
  t.match(slow, [{ member: node, percent: 97, cause: 'transfer', on: supernode, ms: 800, ofMs: 1000 }]);
  t.same(bans, [{ by: node, peer: peer(2).id.slice(0, 8), reason: 'corrupt-piece', atMs: 77 }]);

  view.leave(peer(0).id);
  const after = view.takeChanges(COUNTS, stamp(2));
  t.equal(after.totals.origin, 0, 'who is gone counts no more');
  t.same(after.gone, [supernode]);
  t.match(after.swarms, [{ sharers: 1, complete: 0 }]);
  view.report(peer(0).id, report({ bytes: { ...NO_BYTES, origin: 1 } }), 0);
  t.equal(view.takeChanges(COUNTS, stamp(3)).totals.origin, 0, 'and is not heard');
});

t.test('5,000 nodes: a refresh tells only what has changed, in bounds', async (t) => {
  const view = new ClusterView();
  const blob = { digest: digest(1), size: 400 * MIB, pieces: 400 };
  const all = Array.from({ length: 5000 }, (_, n) => n + 1);
  for (const n of all) {
    view.join(peer(n));
    const from = all.slice(n % 100, (n % 100) + 10).map((other): [string, number] => [peer(other).id, other]);
    const blobs = [{ handle: 0, ...blob, held: n % 400, readers: 1 }];
    view.report(peer(n).id, report({ fresh: true, version: '0.1.0', blobs, from }), 0);
  }
  const first = view.takeChanges(COUNTS, stamp(1));
  const whole = JSON.stringify(view.whole(COUNTS, stamp(1)));
  t.equal(first.have.length, 5000);
  t.ok(first.edges.length <= 300, 'the widest edges only');
  t.equal(first.slow.length, 20, 'the slowest only');
  t.ok(whole.length < 2 * MIB, `a new page gets ${whole.length} bytes`);
  t.ok(JSON.stringify(view.takeChanges(COUNTS, stamp(2))).length < 16 * 1024, 'and then next to nothing');

  for (const n of all.slice(0, 500)) {
    view.report(peer(n).id, report({ blobs: [{ handle: 0, held: 399, readers: 1 }] }), 0);
  }
  const changes = view.takeChanges(COUNTS, stamp(3));
  t.equal(changes.have.length, 500);
  t.ok(JSON.stringify(changes).length < 128 * 1024);
});

t.test('one broken member cannot make the tracker hold more and more', async (t) => {
  const view = new ClusterView();
  view.join(peer(1));
  for (let handle = 0; handle < 5000; handle++) {
    const blobs = [{ handle, digest: digest(handle), size: 1, pieces: 1, held: 0, readers: 0 }];
    view.report(peer(1).id, report({ blobs }), 0);
  }
  t.equal(view.takeChanges(COUNTS, stamp(1)).swarms.length, 4096);
});

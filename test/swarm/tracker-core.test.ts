import fc from 'fast-check';
import t from 'tap';
import type { PeerInfo } from '../../lib/core/node.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { ANSWERED_AT_ONCE, ENOUGH_NEIGHBOURS } from '../../lib/swarm/joining.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import type { TrackerCoreOptions } from '../../lib/swarm/tracker-core-options.ts';

const MIB = 1024 * 1024;
const BLOB = 'sha256:aa';
const WANTS = { have: 'none' } as const;

function member(id: string, role: 'node' | 'supernode' = 'node', zone = ''): PeerInfo {
  return { id, role, host: '127.0.0.1', port: 1, zone };
}

function setUp(options: Partial<TrackerCoreOptions> = {}, supernodes = 0): TrackerCore {
  const tracker = new TrackerCore(options, createRng(1));
  for (let i = 0; i < supernodes; i++) tracker.join(member(`s${i}`, 'supernode'), 0);
  return tracker;
}

/** Everyone joins and announces, and once more when links are few after that. @returns links, both ways */
function crowd(
  tracker: TrackerCore,
  nodes: number,
  zone: (node: number) => string = () => '',
): Map<string, Set<string>> {
  const links = new Map<string, Set<string>>();
  const announce = (id: string): void => {
    for (const peer of tracker.announce(id, BLOB, WANTS, 0)) {
      if (peer.role === 'supernode') continue;
      links.get(id)!.add(peer.id);
      links.get(peer.id)!.add(id);
    }
  };
  for (let i = 0; i < nodes; i++) {
    tracker.join(member(`n${i}`, 'node', zone(i)), 0);
    links.set(`n${i}`, new Set());
    announce(`n${i}`);
  }
  for (const [id, others] of links) if (others.size < ENOUGH_NEIGHBOURS) announce(id);
  return links;
}

function reachable(links: Map<string, Set<string>>): number {
  const seen = new Set<string>(['n0']);
  const queue = ['n0'];
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    for (const other of links.get(id)!) {
      if (seen.has(other)) continue;
      seen.add(other);
      queue.push(other);
    }
  }
  return seen.size;
}

await t.test('a crowd becomes one regular graph: connected, capped, without loops', async (t) => {
  const links = crowd(setUp(), 1000);
  const degrees = [...links.values()].map((others) => others.size);
  t.equal(reachable(links), 1000);
  t.ok(Math.min(...degrees) >= 5, `least ${Math.min(...degrees)}`);
  t.ok(Math.max(...degrees) <= 20, `most ${Math.max(...degrees)}`);
  const mean = degrees.reduce((sum, degree) => sum + degree, 0) / 1000;
  t.ok(Math.abs(mean - 10) < 0.5, `mean ${mean}`);
  t.ok(degrees.filter((degree) => degree >= 8 && degree <= 13).length > 700, 'most are near ten');
  for (const [id, others] of links) if (others.has(id)) t.fail(`${id} is its own neighbour`);
});

await t.test(
  'who is noted before its answer has neighbours by then, and the crowd is one graph after it',
  async (t) => {
    const NODES = 1000;
    const tracker = setUp();
    const links = new Map<string, Set<string>>();
    const announce = (id: string): void => {
      for (const { id: other } of tracker.announce(id, BLOB, WANTS, 0)) {
        links.get(id)!.add(other);
        links.get(other)!.add(id);
      }
    };
    for (let i = 0; i < NODES; i++) {
      tracker.join(member(`n${i}`), 0);
      links.set(`n${i}`, new Set());
      tracker.note(`n${i}`, BLOB, { ...WANTS, size: MIB });
      if (i % ANSWERED_AT_ONCE === 0) announce(`n${i}`);
    }
    const alone = [...links.values()].filter((others) => others.size === 0).length;
    t.ok(alone <= NODES / 10, `${alone} without a neighbour before their own answer`);
    for (let i = NODES - 1; i >= 0; i--) if (i % ANSWERED_AT_ONCE !== 0) announce(`n${i}`);
    const degrees = [...links.values()].map((others) => others.size);
    t.equal(reachable(links), NODES);
    const few = degrees.filter((degree) => degree < ENOUGH_NEIGHBOURS).length;
    t.ok(few <= NODES / 50, `${few} have to ask again`);
    t.ok(Math.max(...degrees) <= 20, `most ${Math.max(...degrees)}`);
    t.notOk(tracker.note('stranger', BLOB, WANTS), 'who has not joined is not noted');
    tracker.join(member('s', 'supernode'), 0);
    t.notOk(tracker.note('s', BLOB, WANTS), 'nor is a supernode: nobody is linked to it as a neighbour');
  },
);

await t.test('zones are dense inside and linked among each other', async (t) => {
  const zone = (node: number): string => `z${node % 4}`;
  const links = crowd(setUp(), 400, zone);
  t.equal(reachable(links), 400);
  let local = 0;
  let remote = 0;
  for (const [id, others] of links) {
    for (const other of others) {
      if (zone(Number(id.slice(1))) === zone(Number(other.slice(1)))) local++;
      else remote++;
    }
  }
  t.ok(Math.abs(local / 400 - 8) < 1, `${local / 400} in the own zone`);
  t.ok(Math.abs(remote / 400 - 4) < 1, `${remote / 400} in others`);
});

await t.test('supernodes come first, and each looks after a bounded number of nodes', async (t) => {
  const tracker = setUp({ ownersPerBlob: 2 }, 3);
  const owners = tracker.owners(BLOB).map(({ id }) => id);
  t.equal(owners.length, 2);
  let sent = 0;
  for (let i = 0; i < 1000; i++) {
    tracker.join(member(`n${i}`), 0);
    const ids = tracker.announce(`n${i}`, BLOB, WANTS, 0).map(({ id }) => id);
    if (i < 32) t.same(ids.slice(0, 2), owners, `newcomer ${i}`);
    if (ids.includes(owners[0]!)) sent++;
  }
  t.ok(sent >= 40 && sent <= 150, `${sent} of 1000 were sent to the supernode`);
});

await t.test('when the first ones are done, newcomers have their supernode', async (t) => {
  const tracker = setUp({ seedLinks: 1 }, 1);
  tracker.join(member('a'), 0);
  t.same(
    tracker.announce('a', BLOB, WANTS, 0).map(({ id }) => id),
    ['s0'],
  );
  t.same(tracker.announce('a', BLOB, { have: 'all' }, 0), []);
  tracker.join(member('b'), 0);
  t.same(
    tracker.announce('b', BLOB, WANTS, 0).map(({ id }) => id),
    ['s0', 'a'],
  );
});

await t.test('a stalled node gets other neighbours, and the owner always', async (t) => {
  const tracker = setUp({ seedLinks: 0, newcomerLinks: 2 }, 1);
  crowd(tracker, 40);
  tracker.join(member('late'), 0);
  const before = tracker.announce('late', BLOB, WANTS, 0).map(({ id }) => id);
  tracker.announce('n7', BLOB, { have: 'some' }, 0);
  tracker.announce('n8', BLOB, { have: 'some' }, 0);
  const seen = new Set(before);
  for (let round = 0; round < 5; round++) {
    const [first, ...fresh] = tracker
      .announce('late', BLOB, { have: 'none', stalled: true }, 0)
      .map(({ id }) => id);
    t.equal(first, 's0');
    for (const id of fresh) {
      t.notOk(seen.has(id), `${id} is new`);
      seen.add(id);
    }
  }
  t.ok(seen.size > 8);
});

await t.test('nodes that are linked already are preferred in other swarms', async (t) => {
  const tracker = setUp();
  crowd(tracker, 200);
  for (let i = 0; i < 200; i++) tracker.announce(`n${i}`, 'other', WANTS, 0);
  tracker.join(member('x'), 0);
  const first = tracker.announce('x', BLOB, WANTS, 0).map(({ id }) => id);
  const second = tracker.announce('x', 'other', WANTS, 0).map(({ id }) => id);
  t.same(new Set(second), new Set(first));
});

await t.test('a node that lost neighbours gets new ones when it announces again', async (t) => {
  const tracker = setUp();
  crowd(tracker, 100);
  const before = tracker.announce('n50', BLOB, { have: 'some' }, 0).map(({ id }) => id);
  t.ok(before.length >= 6);
  for (const id of before) tracker.leave(id, 0);
  const after = tracker.announce('n50', BLOB, { have: 'some' }, 0).map(({ id }) => id);
  t.equal(after.length, 10);
  for (const id of after) t.notOk(before.includes(id));
});

await t.test('silent members expire, with all their links', async (t) => {
  const tracker = setUp({}, 1);
  crowd(tracker, 3);
  t.same(tracker.counts, { members: 4, swarms: 1, links: 3, leases: 0 });
  tracker.seen('n1', 5000);
  t.same(new Set(tracker.expire(9000, () => 5000)), new Set(['s0', 'n0', 'n2']));
  t.same(tracker.counts, { members: 1, swarms: 1, links: 0, leases: 0 });
  t.same(tracker.supernodes, []);
  tracker.withdraw('n1', BLOB);
  t.same(tracker.counts, { members: 1, swarms: 0, links: 0, leases: 0 });
  t.same(tracker.announce('n0', BLOB, WANTS, 0), [], 'unknown by now');
});

await t.test('the epoch tells when the set of supernodes changes, and only then', async (t) => {
  const tracker = setUp({}, 2);
  const { epoch } = tracker;
  tracker.join(member('n'), 0);
  tracker.join(member('s0', 'supernode'), 0);
  tracker.leave('n', 0);
  t.equal(tracker.epoch, epoch);
  tracker.join({ ...member('s0', 'supernode'), port: 2 }, 0);
  t.equal(tracker.epoch, epoch + 1);
  t.equal(tracker.member('s0')?.port, 2);
  tracker.leave('s1', 0);
  t.equal(tracker.epoch, epoch + 2);
  t.same(
    tracker.supernodes.map(({ id }) => id),
    ['s0'],
  );
  t.same(
    tracker.owners(BLOB).map(({ port }) => port),
    [2],
  );
});

await t.test('a supernode that comes or goes moves only its own blobs', async (t) => {
  const tracker = setUp({}, 5);
  const keys = Array.from({ length: 500 }, (_, i) => `sha256:${i}`);
  const owners = (): (string | undefined)[] => keys.map((key) => tracker.owners(key)[0]?.id);
  const before = owners();
  tracker.join(member('s5', 'supernode'), 0);
  owners().forEach((owner, i) => {
    if (owner !== before[i]) t.equal(owner, 's5');
  });
  tracker.leave('s5', 0);
  t.same(owners(), before);
  tracker.leave('s2', 0);
  owners().forEach((owner, i) => {
    if (before[i] !== 's2') t.equal(owner, before[i]);
  });
});

await t.test(
  'three supernodes share a large blob, one has a small one; each is told who reads when',
  async (t) => {
    const tracker = setUp({}, 5);
    tracker.join(member('n0'), 0);
    const named = (size: number): string[] =>
      tracker.announce('n0', `sha256:${size}`, { have: 'none', size }, 0).map(({ id }) => id);
    t.equal(named(32 * MIB).length, 1);
    const owners = named(33 * MIB);
    t.equal(owners.length, 3);
    const turns = (): string[] =>
      tracker
        .announce(owners[2]!, `sha256:${33 * MIB}`, { have: 'some', size: 33 * MIB }, 0)
        .map(({ id }) => id);
    t.same(turns(), [...owners, ...owners]);
    t.same(tracker.announce('s0', `sha256:${33 * MIB}`, { have: 'all', size: 33 * MIB }, 0), []);
    tracker.join(member('s5', 'supernode'), 0);
    tracker.join(member('s6', 'supernode'), 0);
    t.same(turns(), [...owners, ...owners], 'who comes later changes nothing of a blob that is shared');
    tracker.leave(owners[0]!, 0);
    const after = turns();
    t.equal(new Set(after).size, 3, 'somebody else has its turns');
    t.same(
      [1, 2, 4, 5].map((turn) => after[turn]),
      [owners[1], owners[2], owners[1], owners[2]],
    );
  },
);

await t.test('whatever the members do, counts add up and nobody meets itself or a stranger', async () => {
  const step = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.nat(15), fc.nat(2));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const tracker = setUp({ newcomerLinks: 2, degreeCap: 6, degree: 2 });
      const living = new Set<string>();
      let now = 0;
      for (const [op, who, blob] of steps) {
        now++;
        const id = `m${who}`;
        if (op <= 1) {
          tracker.join(member(id, who < 2 ? 'supernode' : 'node', `z${op}`), now);
          living.add(id);
        } else if (op === 2) {
          tracker.leave(id, now);
          living.delete(id);
        } else if (op === 3) tracker.withdraw(id, `b${blob}`);
        else if (op === 4) for (const gone of tracker.expire(now, () => 30)) living.delete(gone);
        else {
          const have = (['none', 'some', 'all'] as const)[blob]!;
          const state = { have, stalled: op === 6 };
          const ids = tracker.announce(id, `b${blob}`, state, now).map((peer) => peer.id);
          if (who < 2) {
            const living = tracker.supernodes.map((peer) => peer.id);
            if (ids.some((each) => !living.includes(each))) {
              throw new Error('is told of others than supernodes');
            }
            continue;
          }
          if (ids.includes(id)) throw new Error('meets itself');
          if (new Set(ids).size !== ids.length) throw new Error('meets one twice');
          for (const other of ids) if (!living.has(other)) throw new Error('meets a stranger');
          if (ids.length > 7) throw new Error('has too many neighbours');
        }
        if (tracker.counts.members !== living.size) throw new Error('counts wrong');
      }
      for (const id of living) tracker.leave(id, now);
      const { members, swarms, links } = tracker.counts;
      if (members + swarms + links !== 0) throw new Error('something stays behind');
    }),
    { numRuns: 200, seed: 1 },
  );
});

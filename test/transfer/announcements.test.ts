import t from 'tap';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import type { Announcement } from '../../lib/discovery/discovery.ts';
import { NO_LEASES } from '../../lib/discovery/leases.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { Announcements } from '../../lib/transfer/peers/announcements.ts';
import { Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import { writePieces } from '../store/sample-blob.ts';
import { sharedSample } from './shared-sample.ts';

/** A node that wants one blob of four pieces, and what it tells its tracker. */
async function setUp() {
  const clock = new FakeClock();
  const { blob, sample, stored } = await sharedSample(clock);
  const neighbours: Neighbour[] = [];
  /** A link to a peer that shares the blob too. */
  const link = (name: string, role: Role = 'node', zone = 'here'): Neighbour => {
    const peer: PeerInfo = { id: name.padStart(40, '0'), role, host: name, port: 1, zone };
    const neighbour = new Neighbour(peer, () => {});
    neighbour.noteOpen(1, sample.info);
    neighbour.openOurs(blob.handle, sample.info);
    neighbour.meet(sample.info);
    neighbours.push(neighbour);
    return neighbour;
  };
  const said: [atMs: number, Omit<Announcement, 'digest' | 'size'>][] = [];
  const discovery = {
    announce: (announcements: readonly Announcement[]) => {
      for (const { digest, size, ...rest } of announcements) {
        t.same({ digest, size }, { digest: blob.digest, size: blob.info.size });
        said.push([clock.now(), rest]);
      }
    },
    withdraw: () => {},
    unreached: () => {},
    reached: () => {},
    owner: () => undefined,
    supernodes: [],
    listen: () => {},
    reachable: true,
    owes: () => false,
    leases: NO_LEASES,
    settings: undefined,
    shareSettings: () => {},
    listenSettings: () => {},
    close: async () => {},
  };
  const dialling: PeerInfo[] = [];
  const announcements = new Announcements(
    { clock, discovery, rng: createRng(1) },
    { zone: () => 'here', neighbours: () => neighbours, dialling: () => dialling },
  );
  const runTo = (ms: number): void => {
    while (clock.advanceToNext(ms));
  };
  const hold = (...pieces: number[]): Promise<void> => writePieces(stored, sample, pieces);
  /** The link breaks, as the engine tells it. */
  const unlink = (neighbour: Neighbour): void => {
    const at = neighbours.indexOf(neighbour);
    if (at >= 0) neighbours.splice(at, 1);
    announcements.lost(neighbour, [blob]);
  };
  return { announcements, blob, dialling, hold, link, neighbours, runTo, said, stored, unlink };
}

t.test('a node with few neighbours asks once more 100 ms after the answer, and then no more', async (t) => {
  const { announcements, blob, hold, link, runTo, said } = await setUp();
  link('super', 'supernode');
  for (let i = 0; i < 9; i++) link(`${i}`);
  announcements.join(blob);
  announcements.answered(blob);
  announcements.answered(blob);
  await hold(2);
  runTo(10_000);
  t.same(said, [
    [0, { have: 'none' }],
    [100, { have: 'some' }],
  ]);
});

t.test('a node with ten that share the blob, or with the whole blob, does not ask again', async (t) => {
  const rich = await setUp();
  for (let i = 0; i < 10; i++) rich.link(`${i}`);
  rich.announcements.join(rich.blob);
  rich.announcements.answered(rich.blob);
  rich.runTo(1000);
  t.equal(rich.said.length, 1);
  rich.neighbours.forEach((neighbour) => neighbour.noteClose(1));
  rich.announcements.join(rich.blob);
  rich.announcements.answered(rich.blob);
  rich.runTo(2000);
  t.same(rich.said.at(-1), [1100, { have: 'none' }], 'links that serve other blobs do not count');

  const quick = await setUp();
  quick.announcements.join(quick.blob);
  quick.announcements.answered(quick.blob);
  await quick.hold(0, 1, 2, 3);
  await quick.stored.commit();
  quick.runTo(1000);
  t.equal(quick.said.length, 1);

  const gone = await setUp();
  gone.announcements.join(gone.blob);
  gone.announcements.answered(gone.blob);
  gone.blob.retired = true;
  gone.runTo(1000);
  t.equal(gone.said.length, 1);
});

t.test('neighbours of other zones do not count', async (t) => {
  const { announcements, blob, link, runTo, said } = await setUp();
  for (let i = 0; i < 9; i++) link(`${i}`);
  for (let i = 10; i < 19; i++) link(`${i}`, 'node', 'there');
  announcements.join(blob);
  announcements.answered(blob);
  runTo(1000);
  t.equal(said.length, 2);
});

t.test('whom the tracker chose and we are dialling counts as linked', async (t) => {
  const { announcements, blob, dialling, link, runTo, said } = await setUp();
  for (let i = 0; i < 6; i++) link(`${i}`);
  const peer = (name: string, role: Role): PeerInfo => ({ ...link(name).peer, role });
  const [chosen, supernode, stranger] = [peer('x', 'node'), peer('y', 'supernode'), peer('z', 'node')];
  dialling.push(chosen, supernode, stranger);
  for (const { id } of [chosen, supernode]) blob.chosen.add(id);
  announcements.join(blob);
  announcements.answered(blob);
  runTo(1000);
  // Six, three more that `peer` linked, and the chosen one: the supernode and the stranger do not count.
  t.equal(said.length, 1, 'ten are enough');
});

t.test('when a tracker is found, a node asks again for what clients wait for', async (t) => {
  const { announcements, blob, runTo, said } = await setUp();
  announcements.connected([blob]);
  runTo(1000);
  t.same(said, [], 'nobody reads it');
  blob.readers = 1;
  announcements.connected([blob]);
  announcements.answered(blob);
  runTo(2000);
  t.same(said, [[1100, { have: 'none' }]]);
});

t.test(
  'a lost link is a stall only when it leaves few neighbours, or was the one to the owner',
  async (t) => {
    const { blob, link, neighbours, said, unlink } = await setUp();
    blob.readers = 1;
    const owner = link('owner', 'supernode');
    const other = link('other', 'supernode');
    blob.owners = new Set([owner.peer.id]);
    for (let i = 0; i < 8; i++) link(`${i}`);
    unlink(other);
    for (let i = 0; i < 2; i++) unlink(neighbours.at(-1) as Neighbour);
    t.same(said, [], 'six nodes are enough');
    unlink(neighbours.at(-1) as Neighbour);
    t.same(said, [[0, { have: 'none', stalled: true }]], 'five are not');
    for (let i = 0; i < 5; i++) link(`more ${i}`);
    unlink(owner);
    t.equal(said.length, 2);
    const stranger = link('stranger');
    stranger.noteClose(1);
    while (neighbours.length > 1) neighbours.pop();
    unlink(stranger);
    t.equal(said.length, 2, 'who shared another blob is no loss for this one');
    blob.readers = 0;
    unlink(neighbours.at(-1) as Neighbour);
    t.equal(said.length, 2, 'nor is anyone when no client waits');
  },
);

t.test('a node whose supernode is gone asks for its successor within 50 ms', async (t) => {
  const { announcements, blob, link, neighbours, runTo, said } = await setUp();
  blob.readers = 1;
  announcements.supernodesChanged([blob]);
  runTo(1000);
  t.same(said, [], 'it never had one');
  const owner = link('owner', 'supernode');
  blob.owners = new Set([owner.peer.id]);
  announcements.supernodesChanged([blob]);
  runTo(2000);
  t.same(said, [], 'it has it still');
  neighbours.pop();
  announcements.supernodesChanged([blob]);
  runTo(3000);
  t.equal(said.length, 1);
  const [atMs, rest] = said[0] ?? [0];
  t.same(rest, { have: 'none' });
  t.ok(atMs >= 2000 && atMs <= 2050, `asked at ${atMs}`);
  announcements.supernodesChanged([blob]);
  const successor = link('successor', 'supernode');
  blob.owners = new Set([successor.peer.id]);
  runTo(4000);
  t.equal(said.length, 1, 'who found it meanwhile need not ask');
});

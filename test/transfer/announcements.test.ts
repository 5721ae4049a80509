import t from 'tap';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import type { Announcement } from '../../lib/discovery/discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { Announcements } from '../../lib/transfer/announcements.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { Neighbour } from '../../lib/transfer/neighbour.ts';
import { SharedBlob } from '../../lib/transfer/shared-blob.ts';
import { sampleBlob, writePieces } from '../store/sample-blob.ts';

/** A node that wants one blob of four pieces, and what it tells its tracker. */
async function setUp() {
  const clock = new FakeClock();
  const log = silentLog();
  const parts = { disk: createMemoryDisk(), keyValue: createMemoryKeyValue(), log, clock, folder: '/n' };
  const store = await openBlobStore({ ...parts, wallClockMs: () => 0 });
  const sample = sampleBlob(1, 4096);
  const stored = await store.create(sample.info);
  const blob = new SharedBlob(stored, createBufferPool({ budgetBytes: 1 << 20 }), 1, 1, 0);
  const neighbours: Neighbour[] = [];
  /** A link to a peer that shares the blob too. */
  const link = (name: string, role: Role = 'node'): Neighbour => {
    const peer: PeerInfo = { id: name.padStart(40, '0'), role, host: name, port: 1, zone: '' };
    const neighbour = new Neighbour(peer, () => {});
    neighbour.noteOpen(1, sample.info);
    neighbour.openOurs(blob.handle, sample.info);
    neighbour.meet(blob.digest);
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
    listen: () => {},
    reachable: true,
    close: async () => {},
  };
  const announcements = new Announcements({ clock, discovery }, { neighbours: () => neighbours });
  const runTo = (ms: number): void => {
    while (clock.advanceToNext(ms));
  };
  const hold = (...pieces: number[]): Promise<void> => writePieces(stored, sample, pieces);
  return { announcements, blob, hold, link, neighbours, runTo, said, stored };
}

t.test('a node with few neighbours asks once more after 100 ms, and then no more', async (t) => {
  const { announcements, blob, hold, link, runTo, said } = await setUp();
  link('super', 'supernode');
  for (let i = 0; i < 9; i++) link(`${i}`);
  announcements.join(blob);
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
  rich.runTo(1000);
  t.equal(rich.said.length, 1);
  rich.neighbours.forEach((neighbour) => neighbour.noteClose(1));
  rich.announcements.askAgainSoon(rich.blob);
  rich.runTo(2000);
  t.equal(rich.said.length, 2, 'links that serve other blobs do not count');

  const quick = await setUp();
  quick.announcements.join(quick.blob);
  await quick.hold(0, 1, 2, 3);
  await quick.stored.commit();
  quick.runTo(1000);
  t.equal(quick.said.length, 1);

  const gone = await setUp();
  gone.announcements.join(gone.blob);
  gone.blob.retired = true;
  gone.runTo(1000);
  t.equal(gone.said.length, 1);
});

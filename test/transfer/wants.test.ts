import t from 'tap';
import type { Role } from '../../lib/core/node.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import { Wants } from '../../lib/transfer/peers/wants.ts';
import { writePieces } from '../store/sample-blob.ts';
import { sharedSample } from './shared-sample.ts';

const SLOTS = { up: 1, down: 0 };

/** A node whose client reads a blob of four pieces, and the supernode that owns it. */
async function setUp() {
  const clock = new FakeClock();
  const metrics = createMetrics({ defaults: false });
  const { blob, sample, stored } = await sharedSample(clock);
  const said: [who: string, atMs: number, piece: number][] = [];
  const neighbours: Neighbour[] = [];
  const onTheirWay = new Set<number>();
  const link = (name: string, role: Role): Neighbour => {
    const peer = { id: name.padStart(40, '0'), role, host: name, port: 1, zone: '' } as const;
    const neighbour = new Neighbour(peer, (message) => {
      if (message.type !== 'want') return;
      t.same(message, { type: 'want', handle: blob.handle, index: message.index, slots: SLOTS });
      said.push([name, clock.now(), message.index]);
    });
    neighbour.noteOpen(1, sample.info);
    neighbour.openOurs(blob.handle, sample.info);
    neighbour.meet(sample.info);
    neighbours.push(neighbour);
    return neighbour;
  };
  const owner = link('owner', 'supernode');
  blob.owners = new Set([owner.peer.id]);
  blob.readers = 1;
  const wants = new Wants(
    { clock, metrics, self: () => ({ id: 'f'.repeat(40) }) },
    {
      lacks: (_, piece) => !stored.have.has(piece) && !onTheirWay.has(piece),
      neighbours: () => neighbours,
      slots: () => SLOTS,
    },
  );
  /** Lets the node look each 50 ms, up to then. */
  const runTo = (ms: number): void => {
    while (clock.now() < ms) {
      clock.after(50, () => wants.look(blob));
      clock.advanceToNext(ms);
    }
  };
  const hold = (...pieces: number[]): Promise<void> => writePieces(stored, sample, pieces);
  return { blob, hold, link, metrics, neighbours, onTheirWay, runTo, said };
}

t.test('the owner of a blob is asked for what a client has waited for, again and again', async (t) => {
  const { blob, link, metrics, runTo, said } = await setUp();
  link('other', 'supernode');
  link('node', 'node');
  runTo(1950);
  t.same(said, []);
  runTo(5000);
  const [first] = said;
  t.same(first?.[0], 'owner');
  t.ok(first !== undefined && first[1] >= 2000 && first[1] <= 2450, `at ${first?.[1]} ms`);
  t.same(said, [0, 1000, 2000].map((ms) => ['owner', (first?.[1] ?? 0) + ms, 0]).slice(0, said.length));
  t.equal(said.length, 3, 'once a second');
  t.same(blob.asked, { piece: 0, atMs: said[2]?.[1] });
  t.equal((await metrics.wants.get()).values[0]?.value, 3);
});

t.test('each owner is asked', async (t) => {
  const { blob, link, runTo, said } = await setUp();
  const second = link('second', 'supernode');
  blob.owners = new Set([...blob.owners, second.peer.id]);
  runTo(2500);
  t.same(
    said.map(([who]) => who),
    ['owner', 'second'],
  );
});

t.test('nobody is asked for what is on its way, or for nobody, or by who may not have it', async (t) => {
  const { blob, onTheirWay, runTo, said } = await setUp();
  onTheirWay.add(0);
  runTo(3000);
  t.same(said, [], 'on its way');
  onTheirWay.clear();
  blob.readers = 0;
  runTo(6000);
  t.same(said, [], 'no client reads it');
  blob.readers = 1;
  for (const right of ['open', 'none', 'late'] as const) {
    blob.peerRight = right;
    runTo(9000);
    t.same(said, [], right);
  }
  blob.peerRight = 'shown';
  blob.owners = new Set();
  runTo(12_000);
  t.same(said, [], 'no owner is known');
});

t.test('a client that gets something begins to wait anew', async (t) => {
  const { blob, hold, runTo, said } = await setUp();
  runTo(1900);
  await hold(0);
  blob.waitFor(1, 1900);
  runTo(3800);
  t.same(said, []);
  runTo(4500);
  t.same(said.slice(0, 1), [['owner', said[0]?.[1], 1]]);
});

t.test('a client that takes its time waits for nothing', async (t) => {
  const { hold, runTo, said } = await setUp();
  await hold(0);
  runTo(5000);
  t.same(said, [], 'what it should take is here, whatever comes after');
});

t.test('at its end a client waits for what is missing before it', async (t) => {
  const { blob, hold, runTo, said } = await setUp();
  await hold(0, 2, 3);
  blob.waitFor(3, 0);
  runTo(2500);
  t.same(
    said.map(([, , piece]) => piece),
    [1],
  );
  await hold(1);
  runTo(9000);
  t.equal(said.length, 1, 'and for nothing when all is here');
});

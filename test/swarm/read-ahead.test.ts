import t from 'tap';
import { ReadAhead } from '../../lib/swarm/read-ahead.ts';

const MIB = 1024 * 1024;
/** How often a supernode that waits looks again, milliseconds. */
const LOOK_MS = 20;

/** A supernode that reads as fast as it may, and nodes that take what it has read. */
function setUp(pieceBytes = MIB, readings = 1) {
  const held = new Set<number>();
  const ahead = new ReadAhead(pieceBytes, (piece) => (held.has(piece) ? 1 : 0), 0);
  let read = 0;
  return {
    held,
    /** Reads for as long as it may. @returns how many pieces nobody else holds then */
    readOn(now: number): number {
      while (ahead.mayRead(now, readings) && read < 100_000) ahead.landed(read++);
      return read - held.size;
    },
    /** Nodes take the next pieces. */
    take(count: number): void {
      for (let i = 0; i < count; i++) held.add(held.size);
    },
    get read() {
      return read;
    },
  };
}

t.test('it reads a little ahead, and on as nodes take', async (t) => {
  const seed = setUp(MIB / 2);
  t.equal(seed.readOn(0), 16, '8 MiB');
  t.equal(seed.readOn(1000), 16);
  seed.take(5);
  t.equal(seed.readOn(1020), 16);
  t.equal(seed.read, 21);
});

t.test('large pieces: so many that those on their way to nodes are not all', async (t) => {
  t.equal(setUp(4 * MIB).readOn(0), 12);
});

t.test('blobs that are read at the same time share that, but for a few pieces', async (t) => {
  t.equal(setUp(MIB / 2, 2).readOn(0), 8);
  t.equal(setUp(MIB / 2, 100).readOn(0), 4);
});

t.test('on a fast line as much as nodes take in a second', async (t) => {
  const seed = setUp();
  for (let now = 0; now < 5000; now += LOOK_MS) {
    seed.readOn(now);
    // At most 400 a second, and none sooner than two looks after it was read.
    seed.take(Math.min(8, seed.read - seed.held.size));
  }
  const alone = seed.readOn(5000);
  t.ok(alone >= 300 && alone <= 500, `${alone} pieces`);
});

t.test('when nobody takes anything it goes on all the same, by and by', async (t) => {
  const seed = setUp();
  const usual = seed.readOn(0);
  t.equal(seed.readOn(9999), usual);
  t.equal(seed.readOn(10_000), 2 * usual);
  t.equal(seed.readOn(19_999), 2 * usual);
  t.equal(seed.readOn(30_000), 3 * usual);
  seed.take(2 * usual + 1);
  t.equal(seed.readOn(30_001) <= 3 * usual, true);
  seed.take(seed.read - seed.held.size);
  t.ok(seed.readOn(60_000) <= 2 * usual, 'and no further ahead than before, once all is taken');
});

t.test('it asks for little at once while nodes are slower than the registry', async (t) => {
  const held = new Set<number>();
  const ahead = new ReadAhead(MIB / 2, (piece) => (held.has(piece) ? 1 : 0), 0);
  t.equal(ahead.nextRequest(1), 16, '8 MiB');
  for (let piece = 0; piece < 16; piece++) {
    t.ok(ahead.mayRead(0, 1));
    ahead.landed(piece);
  }
  t.notOk(ahead.mayRead(0, 1));
  t.equal(ahead.nextRequest(1), 8);
  t.equal(ahead.nextRequest(4), 16, 'twice as much when it has not waited since');
  t.notOk(ahead.mayRead(0, 4));
  t.equal(ahead.nextRequest(4), 4);
});

t.test('and for ever more while they wait for it', async (t) => {
  const ahead = new ReadAhead(MIB, () => 1, 0);
  let read = 0;
  const asked = Array.from({ length: 8 }, (_, at) => {
    const pieces = ahead.nextRequest(1);
    for (let piece = 0; piece < pieces; piece++) {
      t.ok(ahead.mayRead(at * 1000, 1));
      ahead.landed(read++);
    }
    return pieces;
  });
  t.same(asked.slice(0, 4), [12, 24, 48, 96]);
});

import fc from 'fast-check';
import t from 'tap';
import { ReadingPlan, type Run } from '../../lib/swarm/reading-plan.ts';

const PIECES = 40;

/** A supernode's view of a blob, as what it holds and what each node does; and the plan that follows from it. */
function setUp(shortGap = 4, pieces = PIECES, mine: (piece: number) => boolean = () => true) {
  const held = new Set<number>();
  const nodes: Set<number>[] = [];
  /** What supernodes of other sites hold, and what they wait for. */
  const elsewhere = { held: new Set<number>(), awaited: new Set<number>() };
  const holders = (piece: number): number => nodes.filter((node) => node.has(piece)).length;
  const view = {
    pieces,
    has: (piece: number) => held.has(piece),
    mine,
    holders,
    owners: (piece: number) => (elsewhere.held.has(piece) ? 1 : 0),
    awaited: (piece: number) => elsewhere.awaited.has(piece),
    spread: () => ({
      sharers: nodes.length,
      lackers: nodes.filter(({ size }) => size < pieces).length,
      copies: nodes.reduce((sum, { size }) => sum + size, 0),
    }),
  };
  /** A node that holds those pieces. */
  const node = (...ranges: [first: number, end: number][]): Set<number> => {
    const added = new Set<number>();
    for (const [first, end] of ranges) for (let piece = first; piece < end; piece++) added.add(piece);
    nodes.push(added);
    return added;
  };
  const plan = new ReadingPlan(view, shortGap, 0);
  /** Carries out runs until there are none. */
  const readAll = (now: number): Run[] => {
    const runs: Run[] = [];
    for (let run = plan.next(now); run !== undefined; run = plan.next(now)) {
      runs.push(run);
      for (let piece = run.first; piece < run.end && plan.goesOn(run, piece); piece++) held.add(piece);
    }
    return runs;
  };
  return { elsewhere, held, node, nodes, plan, readAll };
}

t.test('a blob of which nobody holds anything is read in one run', async (t) => {
  const { held, node, plan, readAll } = setUp();
  const first = node();
  t.same(plan.next(0), { first: 0, end: PIECES, stuck: false });
  for (let piece = 0; piece < 10; piece++) {
    held.add(piece);
    first.add(piece);
  }
  t.same(readAll(0), [{ first: 10, end: PIECES, stuck: false }], 'one that broke off goes on from there');
  t.equal(plan.next(60_000), undefined, 'complete');
});

t.test('what linked nodes hold is not read, but for short gaps', async (t) => {
  const { node, readAll } = setUp();
  node([0, 10], [14, 18], [25, 30]);
  node([5, 12]);
  t.same(
    readAll(0).map(({ first, end }) => [first, end]),
    [
      [12, 25],
      [30, 40],
    ],
    'a gap of four is crossed, one of five is not',
  );
});

t.test('a run ends where others have come to hold what it would read', async (t) => {
  const { node, plan } = setUp();
  const other = node();
  const run = plan.next(0) as Run;
  t.ok(plan.goesOn(run, 10));
  for (let piece = 10; piece < 15; piece++) other.add(piece);
  t.notOk(plan.goesOn(run, 10), 'five that are held are not worth it');
  t.ok(plan.goesOn(run, 11), 'four are');
  for (let piece = 15; piece < PIECES; piece++) other.add(piece);
  t.notOk(plan.goesOn(run, 36));
});

t.test('what nobody holds any more is read', async (t) => {
  const { node, nodes, readAll } = setUp();
  node([0, 20]);
  node([0, 30]);
  t.same(readAll(0), [{ first: 30, end: 40, stuck: false }]);
  nodes.pop();
  t.same(readAll(500), [{ first: 20, end: 30, stuck: false }]);
});

t.test('what only nodes of ours hold is read for another site that waits for it', async (t) => {
  const { elsewhere, node, readAll } = setUp(0);
  node([0, 30]);
  for (let piece = 10; piece < 20; piece++) elsewhere.awaited.add(piece);
  for (let piece = 15; piece < 17; piece++) elsewhere.held.add(piece);
  elsewhere.held.add(35);
  const runs = readAll(0).map(({ first, end }) => [first, end]);
  t.same(
    runs,
    [
      [10, 15],
      [17, 20],
      [30, 35],
      [36, 40],
    ],
    'what a third site holds comes from there',
  );
});

t.test('what another site waits for, and is not ours to read, is not read again', async (t) => {
  const { elsewhere, node, plan } = setUp(0, PIECES, (piece) => piece >= 20);
  node([0, PIECES]);
  node([0, 30]);
  for (let piece = 0; piece < 20; piece++) elsewhere.awaited.add(piece);
  for (let piece = 20; piece < PIECES; piece++) elsewhere.held.add(piece);
  t.equal(plan.next(0), undefined, 'its reader sees to it');
  t.same(plan.next(10_000), undefined, 'nor when nothing moves: those nodes have it all');
});

t.test('what is held is read after ten seconds in which nothing moves, if somebody lacks it', async (t) => {
  const { node, plan, readAll } = setUp();
  const liar = node([0, 30]);
  const node1 = node([0, 8]);
  t.equal(readAll(0).length, 1);
  t.equal(plan.next(9999), undefined);
  for (let piece = 8; piece < 16; piece++) node1.add(piece);
  t.equal(plan.next(9999), undefined, 'it moves');
  node1.add(16);
  t.equal(plan.next(19_998), undefined);
  t.same(readAll(19_999), [{ first: 17, end: 30, stuck: true }], 'a piece now and then is no movement');
  for (const each of [liar, node1]) for (let piece = 0; piece < PIECES; piece++) each.add(piece);
  t.equal(plan.next(60_000), undefined, 'nobody lacks anything: the rest stays with them');
  node();
  t.equal(plan.next(69_999), undefined, 'a newcomer has its time');
  t.same(readAll(70_000), [{ first: 0, end: 17, stuck: true }]);
});

t.test(
  'whatever is held where, each piece that nobody holds is read once, and no run begins or ends in vain',
  () => {
    const kinds = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 120 });
    fc.assert(
      fc.property(kinds, fc.integer({ min: 0, max: 6 }), (pieces, shortGap) => {
        const { held, node, plan, readAll } = setUp(shortGap, pieces.length);
        const other = node();
        pieces.forEach((kind, piece) => {
          if (kind === 1) held.add(piece);
          if (kind === 2) other.add(piece);
        });
        const wanted = pieces.flatMap((kind, piece) => (kind === 0 ? [piece] : []));
        let from = 0;
        for (const { first, end } of readAll(0)) {
          if (first < from || !wanted.includes(first) || !wanted.includes(end - 1)) return false;
          if (from > 0 && first - from <= shortGap) return false;
          from = end;
        }
        return plan.next(0) === undefined && wanted.every((piece) => held.has(piece));
      }),
      { numRuns: 500, seed: 1 },
    );
    return Promise.resolve();
  },
);

t.test('what others own is not read, unless nothing moves', async (t) => {
  const { node, plan, readAll } = setUp(0, PIECES, (piece) => Math.floor(piece / 10) % 2 === 1);
  node();
  const own = [
    { first: 10, end: 20, stuck: false },
    { first: 30, end: 40, stuck: false },
  ];
  t.same(readAll(0), own);
  t.same(plan.next(9_000), undefined);
  t.same(plan.next(10_000), { first: 0, end: 10, stuck: true });
});

import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import type { BlobAnnouncement } from '../../lib/wire/control-messages.ts';
import { AnnounceQueue, type Announcer } from '../../tracker/announce-queue.ts';

const blobs = (count: number, have: BlobAnnouncement['have'] = 'none'): BlobAnnouncement[] =>
  Array.from({ length: count }, (_, n) => ({ digest: digestOf(Buffer.from(`layer ${n}`)), size: 1, have }));

function setUp() {
  const clock = new FakeClock();
  const queue = new AnnounceQueue(clock);
  /** Who got how many blobs answered, in order. */
  const answers: string[] = [];
  const announcer = (name: string, node = true): Announcer => {
    const known = new Set<string>();
    return {
      isNew: ({ digest, have }) => have !== 'all' && !known.has(digest),
      enter: ({ digest }) => {
        if (node) known.add(digest);
        return node;
      },
      answer: (some) => {
        for (const { digest } of some) known.add(digest);
        answers.push(`${name} ${some.length}`);
      },
    };
  };
  /** One turn of the event loop. */
  const turn = (): string[] => {
    answers.length = 0;
    clock.advanceToNext();
    return [...answers];
  };
  return { announcer, answers, clock, queue, turn };
}

t.test('who comes alone gets all at once, in this turn and in the next', async (t) => {
  const { announcer, answers, queue, turn } = setUp();
  const node = announcer('node');
  queue.add(node, blobs(20));
  queue.add(node, blobs(20));
  t.same(answers, ['node 20', 'node 20']);
  t.same(turn(), []);
  queue.add(node, blobs(200));
  t.same(answers, ['node 200'], 'a new turn has its whole budget');
});

t.test(
  'of a crowd every fourth newcomer gets its first blob at once, the others all in their turn',
  async (t) => {
    const { announcer, answers, queue, turn } = setUp();
    const nodes = Array.from({ length: 15 }, (_, n) => announcer(`n${n}`));
    for (const node of nodes) queue.add(node, blobs(20));
    t.same(answers, [...Array.from({ length: 10 }, (_, n) => `n${n} 20`), 'n10 1', 'n14 1']);
    queue.add(announcer('late'), blobs(3));
    t.equal(
      answers.length,
      12,
      'the others of a crowd are sent to it, and it has its own answer before the rest',
    );
    t.same(turn(), ['late 3', 'n13 20', 'n12 20', 'n11 20', 'n10 19', 'n14 19']);
    t.same(turn(), []);
  },
);

t.test('in a crowd one blob alone is answered at once, and so is the first of a supernode', async (t) => {
  const { announcer, answers, queue, turn } = setUp();
  queue.add(announcer('busy'), blobs(500, 'all'));
  for (const name of ['a', 'b', 'c']) queue.add(announcer(name), blobs(1));
  for (const name of ['s', 't']) queue.add(announcer(name, false), blobs(2));
  t.same(answers, ['a 1', 'b 1', 'c 1', 's 1', 't 1']);
  t.same(turn(), ['busy 500', 's 1', 't 1']);
});

t.test(
  'a newcomer that leaves before its answer gets none; one that says more gets all in one',
  async (t) => {
    const { announcer, answers, queue, turn } = setUp();
    queue.add(announcer('busy'), blobs(500, 'all'));
    const [first, gone, leaving, more] = ['first', 'gone', 'leaving', 'more'].map((name) => announcer(name));
    for (const node of [first!, gone!, leaving!, more!]) queue.add(node, blobs(3));
    t.same(answers, ['first 1']);
    queue.forget(gone!);
    queue.flush(leaving!);
    queue.add(more!, blobs(2, 'all'));
    t.same(answers, ['first 1', 'leaving 3']);
    t.same(turn(), ['more 5', 'busy 500', 'first 2']);
    t.same(turn(), []);
  },
);

t.test('who is known already waits, and what it says meanwhile keeps its order', async (t) => {
  const { announcer, answers, queue, turn } = setUp();
  const [busy, known] = [announcer('busy'), announcer('known')];
  queue.add(known, blobs(2));
  queue.add(busy, blobs(500, 'all'));
  queue.add(known, blobs(2, 'some'));
  queue.add(known, blobs(1, 'all'));
  t.same(answers, ['known 2']);
  t.same(turn(), ['busy 500', 'known 3']);
});

t.test('a long line is worked off in slices', async (t) => {
  const { announcer, queue, turn } = setUp();
  const nodes = Array.from({ length: 5 }, (_, n) => announcer(`n${n}`));
  for (const node of nodes) queue.add(node, blobs(400, 'all'));
  t.same(turn(), ['n0 400', 'n1 400']);
  t.same(turn(), ['n2 400', 'n3 400']);
  t.same(turn(), ['n4 400']);
});

t.test('a withdrawal comes after what was said before it; who is gone gets nothing', async (t) => {
  const { announcer, answers, queue, turn } = setUp();
  const [busy, leaving, gone] = [announcer('busy'), announcer('leaving'), announcer('gone')];
  queue.add(busy, blobs(500, 'all'));
  queue.add(leaving, blobs(3, 'all'));
  queue.add(gone, blobs(3, 'all'));
  t.same(answers, []);
  queue.flush(leaving);
  queue.flush(leaving);
  t.same(answers, ['leaving 3']);
  queue.forget(gone);
  t.same(turn(), ['busy 500']);
  queue.add(gone, blobs(300, 'all'));
  queue.close();
  t.same(turn(), []);
});

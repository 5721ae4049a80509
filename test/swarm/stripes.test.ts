import fc from 'fast-check';
import t from 'tap';
import { dealTurns, isUndivided, readerOf } from '../../lib/swarm/stripes.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((id) => ({ id })) as [Owner, Owner, Owner, Owner];

interface Owner {
  readonly id: string;
}

t.test('stripes are 16 MiB, from 1 GiB on 64 MiB; two of them are not worth a second reader', async (t) => {
  t.ok(isUndivided(32 * MIB));
  t.notOk(isUndivided(32 * MIB + 1));
  const turns = dealTurns([], [A, B, C], 3);
  const readers = (size: number, pieceBytes: number, at: number[]): unknown[] =>
    at.map((mib) => readerOf(turns, { size, pieceBytes }, (mib * MIB) / pieceBytes)?.id);
  t.same(readers(GIB - 1, MIB, [0, 15, 16, 32, 47, 48, 96]), ['a', 'a', 'b', 'c', 'c', 'a', 'a']);
  t.same(readers(GIB, 4 * MIB, [0, 60, 64, 128, 192]), ['a', 'a', 'b', 'c', 'a']);
});

t.test('who stays keeps its turns, and the turns of who is gone are shared out', async (t) => {
  t.same(dealTurns([], [], 3), []);
  t.same(dealTurns([], [A], 3), Array(6).fill(A));
  t.same(dealTurns([], [A, B, C, D], 1), Array(6).fill(A));
  const turns = dealTurns([], [A, B, C, D], 3);
  t.same(turns, [A, B, C, A, B, C]);
  t.same(dealTurns(turns, [D, C, B, A], 3), turns, 'whatever the rank');
  const without = turns.map((owner) => (owner === A ? undefined : owner));
  t.same(dealTurns(without, [D, B, C], 3), [D, B, C, D, B, C]);
  t.same(dealTurns(without, [B, C], 3), [B, B, C, C, B, C]);
});

t.test('another number of owners is no other number of turns', async (t) => {
  const four = dealTurns([], [A, B, C, D], 4);
  t.same(four, [A, B, C, D]);
  t.same(
    dealTurns([A, undefined, C, D], [A, C, D], 3).map(({ id }) => id),
    ['a', 'a', 'c', 'd'],
  );
  t.same(dealTurns(four, [A], 4), four);
  t.same(dealTurns([undefined, undefined, undefined, undefined], [A], 3), [A, A, A, A]);
});

t.test('whoever comes and goes, every turn has a living owner, and none many more than others', async () => {
  const ids = [A, B, C, D, { id: 'e' }, { id: 'f' }];
  fc.assert(
    fc.property(
      fc.array(fc.subarray(ids, { minLength: 1 })),
      fc.integer({ min: 1, max: 6 }),
      (steps, most) => {
        let turns: readonly Owner[] = [];
        for (const living of steps) {
          const before = turns.map((owner) => (living.includes(owner) ? owner : undefined));
          turns = dealTurns(before, living, most);
          if (turns.some((owner) => !living.includes(owner))) throw new Error('a dead owner');
          if (before.some((owner, turn) => owner !== undefined && turns[turn] !== owner)) {
            throw new Error('a turn was taken from a living owner');
          }
          if (new Set(turns).size > most) throw new Error('too many owners');
        }
      },
    ),
    { seed: 1 },
  );
});

import t from 'tap';
import { ImportPlan } from '../../lib/swarm/import-plan.ts';

/** Sources `a` and `b` hold the pieces given, 20 pieces are lacked until they are taken out of `lacked`. */
function setUp(a: readonly number[], b: readonly number[], from = 0) {
  const lacked = new Set(Array.from({ length: 20 }, (_, piece) => piece));
  const held = { a: new Set(a), b: new Set(b) };
  const plan = new ImportPlan<'a' | 'b'>(
    {
      pieces: 20,
      lacks: (piece) => lacked.has(piece),
      holder: (piece, mayAsk) => (['a', 'b'] as const).find((each) => held[each].has(piece) && mayAsk(each)),
    },
    from,
  );
  const drain = (): string[] => {
    const asked: string[] = [];
    for (let next = plan.next(); next !== undefined; next = plan.next()) {
      asked.push(`${next.piece} of ${next.source}`);
    }
    return asked;
  };
  return { lacked, held, plan, drain };
}

t.test(
  'each piece is asked of one who holds it, four of each at a time, and only what is lacked',
  async (t) => {
    const { drain, lacked, plan } = setUp([0, 1, 2, 3, 4, 5], [5, 6, 7, 8, 9]);
    lacked.delete(1);
    const asked = ['0 of a', '2 of a', '3 of a', '4 of a', '5 of b', '6 of b'];
    t.same(drain(), asked);
    t.same(drain(), [], 'six are on their way');
    plan.ended(0);
    lacked.delete(0);
    t.same(drain(), ['7 of b'], 'what a has is here or on its way');
    plan.ended(5);
    lacked.delete(5);
    t.same(drain(), ['8 of b']);
  },
);

t.test(
  'it begins with the source that it is told, goes round, and asks again for what did not come',
  async (t) => {
    const { drain, plan } = setUp([1, 18], [19], 19);
    t.same(drain(), ['19 of b', '1 of a', '18 of a']);
    plan.ended(18);
    t.same(drain(), ['18 of a']);
    plan.ended(7);
    t.same(drain(), [], 'a piece that was not on its way changes nothing');
  },
);

t.test('of each source the pieces come in order, also those that it has got late', async (t) => {
  const { drain, held, lacked, plan } = setUp([4, 5, 6, 7, 8], [12, 13], 5);
  t.same(drain(), ['4 of a', '5 of a', '6 of a', '7 of a', '12 of b', '13 of b']);
  held.a.add(2);
  held.b.add(10);
  for (const piece of [4, 12]) {
    plan.ended(piece);
    lacked.delete(piece);
  }
  t.same(drain(), ['2 of a', '10 of b']);
});

import t from 'tap';
import { LEASE_TTL_MS } from '../../lib/swarm/lease-table.ts';
import { isOurTurn, mayStepAside } from '../../lib/swarm/local-lease.ts';

const nodes = Array.from({ length: 12 }, (_, index) => `node ${index}`);
const viewOf = (self: string, waitedMs: number, sharers = nodes.filter((id) => id !== self)) => ({
  self,
  sharers,
  digest: 'blob',
  waitedMs,
});
const STRIPES = [...Array(20).keys()];

t.test('nodes that know each other agree on one reader of each stripe', async (t) => {
  const readers = STRIPES.map((stripe) => nodes.filter((self) => isOurTurn(viewOf(self, 2000), stripe)));
  t.ok(
    readers.every(({ length }) => length === 1),
    'each has one',
  );
  t.ok(new Set(readers.flat()).size > 5, 'and many take part');
});

t.test('when it brings nothing the next one in order reads too', async (t) => {
  for (const stripe of STRIPES) {
    const readers = (waitedMs: number): string[] =>
      nodes.filter((self) => isOurTurn(viewOf(self, waitedMs), stripe));
    const [first] = readers(0);
    t.same(readers(2 * LEASE_TTL_MS - 1), [first], 'it has had the time of a lease, after it was noticed');
    const second = readers(2 * LEASE_TTL_MS);
    t.equal(second.length, 2);
    t.ok(second.includes(first!));
  }
});

t.test('who knows nobody reads everything, and may step aside', async (t) => {
  t.ok(STRIPES.every((stripe) => isOurTurn(viewOf('alone', 500, []), stripe)));
  t.ok(mayStepAside(viewOf('alone', 1500, [])));
});

t.test(
  'about four of those who know each other step aside at once, others when they have had their time',
  async (t) => {
    const many = Array.from({ length: 300 }, (_, index) => `node ${index}`);
    const aside = (round: number): string[] =>
      many.filter((self) => mayStepAside(viewOf(self, round * LEASE_TTL_MS, nodes)));
    const shares = [2, 3, 4].map((round) => aside(round).length / many.length);
    for (const share of shares) t.ok(share > 0.2 && share < 0.45, `${share.toFixed(2)}, of 4/13`);
    t.notSame(aside(2), aside(3));
    const ever = new Set(Array.from({ length: 30 }, (_, round) => aside(round)).flat());
    t.equal(ever.size, many.length, 'everybody has a turn');
  },
);

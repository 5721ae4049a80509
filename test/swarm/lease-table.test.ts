import t from 'tap';
import { createRng } from '../../lib/runtime/rng.ts';
import { LEASE_TTL_MS, LeaseTable, mostAside, type Wish } from '../../lib/swarm/lease-table.ts';

const NODES = 12;
const wish = (holder: string, change: Partial<Wish> = {}): Wish => ({
  holder,
  digest: 'blob',
  upstream: 'registry',
  stripes: [0],
  aside: false,
  ...change,
});

/** What was granted, or why not. */
function outcome(grant: ReturnType<LeaseTable['ask']>): number | string {
  return grant.kind === 'granted' ? grant.stripe : grant.reason;
}

function tokenOf(grant: ReturnType<LeaseTable['ask']>): number {
  if (grant.kind !== 'granted') throw new Error(`refused: ${grant.reason}`);
  return grant.token;
}

t.test('one node reads a stripe, the next one another', async (t) => {
  const table = new LeaseTable();
  const stripes = [2, 0, 1];
  const asked = ['a', 'b', 'c', 'd'].map((id) => outcome(table.ask(wish(id, { stripes }), NODES, 0)));
  t.same(asked, [2, 0, 1, 'held']);
  t.equal(outcome(table.ask(wish('d', { digest: 'another' }), NODES, 0)), 0, 'blobs do not know each other');
});

t.test('who is refused hears when to come back, and who reads', async (t) => {
  const table = new LeaseTable();
  table.ask(wish('a'), NODES, 0);
  t.same(table.ask(wish('b'), NODES, 500.5), {
    kind: 'refused',
    reason: 'held',
    retryMs: 1500,
    holders: ['a'],
  });
});

t.test('a lease runs out without progress, and lasts for as long as there is some', async (t) => {
  const table = new LeaseTable();
  const token = tokenOf(table.ask(wish('a'), NODES, 0));
  t.equal(table.renew('a', token, LEASE_TTL_MS - 1).kind, 'granted');
  t.equal(outcome(table.ask(wish('b'), NODES, LEASE_TTL_MS + 1)), 'held');
  const second = tokenOf(table.ask(wish('b'), NODES, 2 * LEASE_TTL_MS));
  t.ok(second > token, 'tokens grow');
  t.equal(outcome(table.renew('a', token, 2 * LEASE_TTL_MS)), 'lost', 'the first holder is fenced off');
  table.release('a', token, true, 2 * LEASE_TTL_MS);
  t.equal(table.renew('b', second, 2 * LEASE_TTL_MS + 1).kind, 'granted', 'nor can it end the second one');
  t.equal(outcome(table.renew('c', second, 2 * LEASE_TTL_MS + 1)), 'lost', 'a token serves its holder alone');
});

t.test('a stripe that was read is not read again while its reader is there', async (t) => {
  const table = new LeaseTable();
  table.release('a', tokenOf(table.ask(wish('a'), NODES, 0)), true, 1000);
  t.equal(outcome(table.ask(wish('b'), NODES, 10_000)), 'read');
  t.equal(outcome(table.ask(wish('b', { stripes: [0, 1] }), NODES, 10_000)), 1);
  table.forget('a');
  t.equal(outcome(table.ask(wish('b'), NODES, 10_000)), 0, 'it is gone, and what it read with it');
});

t.test('a read that failed, or whose reader withdrew the blob, leaves the stripe to others', async (t) => {
  const table = new LeaseTable();
  table.release('a', tokenOf(table.ask(wish('a'), NODES, 0)), false, 10);
  t.equal(outcome(table.ask(wish('b'), NODES, 10)), 0);
  table.forget('b', 'another');
  t.equal(outcome(table.ask(wish('c'), NODES, 10)), 'held');
  table.forget('b', 'blob');
  t.equal(outcome(table.ask(wish('c'), NODES, 10)), 0);
});

t.test('four nodes, or one in a hundred, step aside at once from one registry', async (t) => {
  for (const [nodes, most] of [
    [12, 4],
    [400, 4],
    [401, 5],
    [10_000, 100],
  ] as const) {
    t.equal(mostAside(nodes), most);
    const table = new LeaseTable();
    const ask = (index: number, upstream = 'registry') =>
      table.ask(wish(`node ${index}`, { digest: `blob ${index % 3}`, upstream, aside: true }), nodes, 0);
    const granted = Array.from({ length: most + 10 }, (_, index) => ask(index));
    t.equal(granted.filter(({ kind }) => kind === 'granted').length, most);
    t.equal(outcome(granted.at(-1)!), 'crowded');
    t.equal(ask(99, 'elsewhere').kind, 'granted', 'each registry for itself');
    t.equal(ask(0).kind, 'granted', 'the next window of who is there already counts once');
    table.release('node 1', tokenOf(granted[1]!), true, 1);
    t.equal(ask(most + 1).kind, 'granted', 'a place is free');
    t.equal(ask(most + 2).kind, 'refused');
  }
});

t.test('stepping aside takes no stripe away from its reader', async (t) => {
  const table = new LeaseTable();
  const token = tokenOf(table.ask(wish('a'), NODES, 0));
  t.equal(table.ask(wish('b', { aside: true }), NODES, 0).kind, 'granted');
  t.equal(table.renew('a', token, 1).kind, 'granted');
});

t.test('one member cannot fill the table', async (t) => {
  const table = new LeaseTable();
  for (let index = 0; index < 1000; index++) {
    table.ask(wish('greedy', { digest: `blob ${index}` }), NODES, 0);
  }
  t.ok(table.size < 500, `${table.size} leases`);
  t.equal(outcome(table.ask(wish('b'), NODES, 0)), 0);
  t.ok(table.expire(LEASE_TTL_MS) > 0);
  t.equal(table.size, 0);
});

t.test('whatever happens, no two hold one stripe, and tokens only grow', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const rng = createRng(seed);
    const table = new LeaseTable(7);
    /** Stripe -> its holder by what the table said, and until when. */
    const held = new Map<number, { holder: string; token: number; endsAt: number }>();
    let newest = 6;
    let now = 0;
    for (let step = 0; step < 2000; step++) {
      now += rng.int(300);
      const holder = `node ${rng.int(6)}`;
      const stripe = rng.int(3);
      const lease = held.get(stripe);
      const action = rng.int(4);
      if (action < 2) {
        const grant = table.ask(wish(holder, { stripes: [stripe] }), NODES, now);
        if (grant.kind === 'granted') {
          if (lease !== undefined && lease.endsAt > now && lease.holder !== holder) {
            t.fail(`seed ${seed}: two`);
          }
          if (grant.token <= newest) t.fail(`seed ${seed}: an old token`);
          newest = grant.token;
          held.set(stripe, { holder, token: grant.token, endsAt: now + grant.ttlMs });
        }
      } else if (lease !== undefined && action === 2) {
        const grant = table.renew(lease.holder, lease.token, now);
        if ((grant.kind === 'granted') !== lease.endsAt > now) t.fail(`seed ${seed}: renewal`);
        if (grant.kind === 'granted') lease.endsAt = now + grant.ttlMs;
      } else if (lease !== undefined) {
        table.release(lease.holder, lease.token, false, now);
        held.delete(stripe);
      }
    }
    t.ok(newest > 100, `${newest} leases were granted`);
  }
});

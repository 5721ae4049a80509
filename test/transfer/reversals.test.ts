import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { Reversals } from '../../lib/transfer/peers/reversals.ts';
import type { ReverseDialer } from '../../lib/transfer/seams.ts';

const peer = (n: number) =>
  ({ id: n.toString(16).padStart(40, '0'), role: 'node', host: `10.0.0.${n}`, port: 1, zone: '' }) as const;

/** Reversals on a network on which nothing comes about until it is told to, or given up. */
function setUp() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const ends: (() => void)[] = [];
  const network: ReverseDialer = {
    connectBack({ address, from }, { signal }) {
      asked.push(`${address.host} ${from}`);
      return new Promise((resolve, reject) => {
        ends.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    },
  };
  const metrics = createMetrics({ defaults: false });
  const reversals = new Reversals({ network, clock, log: silentLog(), metrics, self: () => 'us' });
  const outcomes = () => metrics.registry.getSingleMetricAsString('damselfly_reversed_connections_total');
  return { asked, clock, ends, outcomes, reversals };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

t.test('connections are opened to who asks, so many at once to one and to all', async (t) => {
  const { asked, ends, outcomes, reversals } = setUp();
  for (let i = 0; i < 30; i++) reversals.asked(peer(1));
  t.same(asked, Array(16).fill('10.0.0.1 us'));
  ends[0]?.();
  await settled();
  reversals.asked(peer(1));
  t.equal(asked.length, 17, 'one has come about: there is room for another');
  for (let n = 2; n < 10; n++) for (let i = 0; i < 16; i++) reversals.asked(peer(n));
  t.equal(asked.length, 65);
  t.match(await outcomes(), /outcome="opened"\} 1/);
});

t.test('who does not answer is given up, and the end of it all ends them', async (t) => {
  const { asked, clock, outcomes, reversals } = setUp();
  reversals.asked(peer(1));
  while (clock.advanceToNext(3000));
  await settled();
  t.match(await outcomes(), /outcome="failed"\} 1/);
  reversals.asked(peer(2));
  reversals.close();
  await settled();
  t.match(await outcomes(), /outcome="failed"\} 2/);
  reversals.asked(peer(3));
  t.equal(asked.length, 2);
});

t.test('who asks for connections to where none comes about is not obeyed without end', async (t) => {
  const { asked, clock, reversals } = setUp();
  for (let i = 0; i < 16; i++) reversals.asked(peer(1));
  while (clock.advanceToNext(3000));
  await settled();
  for (let i = 0; i < 100; i++) reversals.asked(peer(1));
  t.equal(asked.length, 16);
  reversals.asked(peer(2));
  t.equal(asked.length, 17, 'others are');
  while (clock.advanceToNext(5000));
  reversals.asked(peer(1));
  t.equal(asked.length, 18, 'and it is again a little later');
});

t.test('a peer cannot dial us from its asking until it dials', (t) => {
  const { reversals } = setUp();
  t.notOk(reversals.cannotDialUs(peer(1).id));
  reversals.asked(peer(1));
  t.ok(reversals.cannotDialUs(peer(1).id));
  reversals.noteDialled(peer(1).id);
  t.notOk(reversals.cannotDialUs(peer(1).id));
  t.end();
});

t.test('those that cannot dial us are counted without a look at all the others', (t) => {
  const { reversals } = setUp();
  for (let n = 0; n < 2000; n++) reversals.noteUndialled(peer(n).id);
  reversals.noteDialled(peer(1999).id);
  const looked: string[] = [];
  const linked = new Set([peer(1).id, peer(1997).id, peer(1998).id, peer(1999).id]);
  const count = reversals.countUndialled((id) => looked.push(id) > 0 && linked.has(id));
  t.equal(count, 2, 'the first is forgotten, the last has dialled us');
  t.equal(looked.length, 1023);
  t.end();
});

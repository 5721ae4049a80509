import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createCallerNames } from '../../registry-proxy/callers.ts';
import { createVerdicts, type Listing } from '../../registry-proxy/verdicts.ts';

const LAYER = digestOf(Buffer.from('a layer'));
const repository = { upstream: 'reg', repository: 'a/b' };
const alice = { ...repository, authorization: 'Bearer alice' };
const bob = { ...repository, authorization: 'Bearer bob' };
const right = listing('right', 7);
const wrong = listing('wrong', 8);

t.test(
  'what one caller is told of the size of a layer passes for nobody else once it is contradicted',
  async (t) => {
    for (const pauseMs of [0, 61_000]) {
      const { clock, verdicts } = start();
      t.same(verdicts.learn(alice, right), right.blobs);
      clock.advanceToNext(clock.now() + pauseMs);
      t.same(verdicts.learn(bob, wrong), []);
      t.equal(verdicts.sizeIn(repository, LAYER), undefined, 'the registry is to be asked');
      verdicts.notePresent(repository, LAYER, 7);
      t.equal(verdicts.sizeIn(repository, LAYER), 7, 'and is believed');
    }
  },
);

t.test('a manifest answers for a layer no more once another one contradicts it', async (t) => {
  const { clock, verdicts } = start();
  verdicts.learn(bob, wrong);
  t.same(verdicts.listing(bob, LAYER), wrong);
  verdicts.learn(alice, right);
  t.equal(verdicts.listing(bob, LAYER), undefined);
  clock.advanceToNext(clock.now() + 31 * 60_000);
  t.same(verdicts.learn(alice, right), right.blobs, 'later it counts again');
});

function start() {
  const clock = new FakeClock();
  const names = createCallerNames(() => 'caller');
  const metrics = createMetrics({ defaults: false });
  return { clock, verdicts: createVerdicts({ clock, metrics, names, wallClockMs: () => clock.now() }) };
}

function listing(manifest: string, size: number): Listing {
  return { manifest: digestOf(Buffer.from(manifest)), blobs: [{ digest: LAYER, size }] };
}

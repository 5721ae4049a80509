import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import type { BlobOrigin } from '../../lib/core/node.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { OpenBlobs } from '../../lib/transfer/rights/open-blobs.ts';

const [digest, other] = ['a', 'b'].map((letter) => `sha256:${letter.repeat(64)}`) as [Digest, Digest];
const place = { upstream: 'r.test', repository: 'team/app', authorization: 'Bearer secret' };
const MINUTE_MS = 60_000;

/** A node at a registry that answers what `says` says. */
function node(known: { place?: BlobOrigin } = {}) {
  const clock = new FakeClock();
  const registry = { says: async (_: AbortSignal): Promise<boolean> => true, asked: [] as BlobOrigin[] };
  const origin = {
    isPublic({ origin }: { origin: BlobOrigin }, { signal }: { signal: AbortSignal }) {
      registry.asked.push(origin);
      return registry.says(signal);
    },
  };
  const ending = new AbortController();
  const deps = { origin, clock, log: silentLog(), metrics: createMetrics({ defaults: false }) };
  return { clock, ending, registry, open: new OpenBlobs(deps, () => known.place, ending.signal) };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const advance = (clock: FakeClock, ms: number): void => {
  const until = clock.now() + ms;
  while (clock.advanceToNext(until));
};

t.test('the registry is asked once for all clients, without the credentials of any', async (t) => {
  const { open, registry } = node();
  t.notOk(open.isOpen(digest), 'nobody has asked');
  t.same(await Promise.all([open.check(digest, place), open.check(digest, place)]), [true, true]);
  t.ok(await open.check(digest, place));
  t.ok(open.isOpen(digest));
  t.same(registry.asked, [{ upstream: 'r.test', repository: 'team/app' }]);
});

t.test('a yes holds for five minutes, a no for half a minute', async (t) => {
  const { clock, open, registry } = node();
  t.ok(await open.check(digest, place));
  registry.says = async () => false;
  advance(clock, 5 * MINUTE_MS - 1);
  t.ok(open.isOpen(digest));
  advance(clock, 1);
  t.notOk(open.isOpen(digest));
  t.notOk(await open.check(digest, place));
  registry.says = async () => true;
  t.notOk(await open.check(digest, place));
  advance(clock, MINUTE_MS / 2);
  t.ok(await open.check(digest, place));
  t.equal(registry.asked.length, 3);
});

t.test('what peers go on asking for is asked of the registry again before the yes ends', async (t) => {
  const { clock, open, registry } = node({ place });
  t.notOk(open.isOpen(digest), 'a peer asks, and so does the node');
  await settled();
  t.ok(open.isOpen(digest));
  advance(clock, 4 * MINUTE_MS);
  registry.says = async () => false;
  t.ok(open.isOpen(digest), 'it still holds');
  await settled();
  t.notOk(open.isOpen(digest), 'it is private now');
  t.equal(registry.asked.length, 2);
});

t.test('peers that ask for a blob again and again do not have the registry asked each time', async (t) => {
  const { clock, open, registry } = node({ place });
  registry.says = () => Promise.reject(new Error('away'));
  for (let second = 0; second < 10; second++) {
    for (let time = 0; time < 5; time++) t.notOk(open.isOpen(digest));
    await settled();
    advance(clock, 1000);
  }
  t.equal(registry.asked.length, 2);
});

t.test('a registry that does not answer within a second says no, and nothing is remembered', async (t) => {
  const { clock, ending, open, registry } = node();
  registry.says = (signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('late'))));
  const asking = open.check(digest, place);
  advance(clock, 1000);
  t.notOk(await asking);
  registry.says = async () => true;
  t.ok(await open.check(digest, place));
  ending.abort();
  t.notOk(await open.check(other, place), 'the node is stopping');
});

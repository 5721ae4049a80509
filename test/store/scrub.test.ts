import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { scrub } from '../../lib/store/scrub.ts';
import { pass } from './machine.ts';

t.test('blobs of which nothing is held yet are looked at once a minute', async (t) => {
  const clock = new FakeClock();
  const ending = new AbortController();
  let looks = 0;
  const examine = async (_digest: string, index: number): Promise<number | undefined> => {
    // A scrub that never waits would let nothing else happen.
    if (++looks > 1000) ending.abort();
    return index < 3 ? 0 : undefined;
  };
  const deps = {
    clock,
    log: silentLog(),
    keyValue: createMemoryKeyValue(),
    digests: () => ['a', 'b'],
    examine,
  };
  const scrubbing = scrub(deps, 1024, ending.signal);
  await pass(clock, 1000);
  t.equal(looks, 8);
  await pass(clock, 60_000);
  t.equal(looks, 16);
  ending.abort();
  await scrubbing;
  t.equal(clock.pending, 0);
});

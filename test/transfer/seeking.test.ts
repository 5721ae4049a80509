import t from 'tap';
import { NO_LEASES } from '../../lib/discovery/leases.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { MemoryOrigin } from '../../lib/origin/memory/memory-origin.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { PieceSink } from '../../lib/transfer/blobs/piece-sink.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import type { FallbackHost } from '../../lib/transfer/fallback/fallback-host.ts';
import { RegistryFallback } from '../../lib/transfer/fallback/registry-fallback.ts';
import { Limits } from '../../lib/transfer/limits.ts';
import { sharedSample } from './shared-sample.ts';

/** A node that holds one piece, waits for the next, and has company that gives it nothing. */
async function setUp(seeded: boolean) {
  const clock = new FakeClock();
  const { blob, sample, stored } = await sharedSample(clock);
  await stored.write(sample.proofs[0]!, sample.piece(0));
  blob.readers = 1;
  blob.origin = { upstream: 'memory.test', repository: 'team/app' };
  const log = silentLog();
  const metrics = createMetrics({ defaults: false });
  const pool = createBufferPool({ budgetBytes: 1 << 20 });
  const origin = new MemoryOrigin({ clock, latencyMs: 1, bytesPerSecond: 1 << 20 }).client();
  const host: FallbackHost = {
    selfId: () => 'self',
    reserve: () => false,
    letGo() {},
    unreserve() {},
    obtained() {},
    wants: () => true,
    inFlight: () => 1,
    holders: () => 0,
    sharers: () => [],
    supernodeExpected: () => false,
    answerOwed: () => false,
    seeded: () => seeded,
    swarmMovedMs: () => 0,
    anyMovedMs: () => 0,
    mayHedge: () => false,
    supernodeSpeaks: () => false,
    busyElsewhere: () => false,
    clientsWait: () => true,
    introduce() {},
  };
  const deps = {
    discovery: { leases: NO_LEASES },
    origin,
    pool,
    limits: new Limits(clock),
    clock,
    rng: createRng(1),
  };
  const sink = new PieceSink({ clock, log, metrics }, { complete() {}, wrong() {}, dropsEverywhere: false });
  const fallback = new RegistryFallback({ ...deps, log, metrics }, sink, host);
  /** Whether the tracker is told after so long without a byte. */
  const tells = (idleMs: number): boolean => {
    blob.waitingSinceMs = clock.now();
    blob.lastProgressMs = clock.now() - idleMs;
    return fallback.consider(blob);
  };
  return { blob, tells };
}

t.test(
  'a node that is linked to none of the supernodes there are asks for one before it reads',
  async (t) => {
    const { blob, tells } = await setUp(false);
    blob.owned = true;
    t.notOk(tells(1450));
    t.ok(tells(1800));
    t.notOk(tells(1850), 'once');
  },
);

t.test('where there is none, or it is linked to one, it does not', async (t) => {
  const without = await setUp(false);
  t.notOk(without.tells(1900));
  const beside = await setUp(true);
  beside.blob.owned = true;
  t.notOk(beside.tells(1900));
});

import t from 'tap';
import { DamselflyError } from '../../lib/core/errors.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { CircuitBreaker } from '../../lib/origin/circuit-breaker.ts';
import { guardedOrigin } from '../../lib/origin/guarded-origin.ts';
import { MemoryOrigin } from '../../lib/origin/memory/memory-origin.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';

function failing(breaker: CircuitBreaker, times: number, now: number): void {
  for (let time = 0; time < times; time++) breaker.failed(now);
}

t.test('five failures in a row open it, fewer do not', async (t) => {
  const breaker = new CircuitBreaker();
  failing(breaker, 4, 0);
  breaker.succeeded();
  failing(breaker, 4, 0);
  t.equal(breaker.admit(0), 0);
  t.equal(breaker.state, 'closed');
  breaker.failed(0);
  t.equal(breaker.state, 'open');
  t.equal(breaker.admit(100), 400, 'and it says for how long');
});

t.test('after the pause one asks, and its answer decides', async (t) => {
  const breaker = new CircuitBreaker();
  failing(breaker, 5, 0);
  t.equal(breaker.admit(500), 0, 'the probe');
  t.equal(breaker.state, 'half-open');
  t.ok(breaker.admit(500) > 0, 'nobody else');
  breaker.failed(600);
  t.equal(breaker.state, 'open');
  t.equal(breaker.admit(600), 1000, 'twice as long as before');
  t.equal(breaker.admit(1600), 0);
  breaker.succeeded();
  t.equal(breaker.state, 'closed');
  t.equal(breaker.admit(1600), 0);
  failing(breaker, 5, 2000);
  t.equal(breaker.admit(2000), 500, 'from the beginning');
});

t.test('pauses grow to three seconds and no further', async (t) => {
  const breaker = new CircuitBreaker();
  failing(breaker, 5, 0);
  let now = 0;
  const pauses = Array.from({ length: 6 }, () => {
    const pauseMs = breaker.admit(now);
    now += pauseMs;
    t.equal(breaker.admit(now), 0);
    breaker.failed(now);
    return pauseMs;
  });
  t.same(pauses, [500, 1000, 2000, 3000, 3000, 3000]);
});

t.test('a probe that is given up, or never ends, leaves its place to another', async (t) => {
  const breaker = new CircuitBreaker();
  failing(breaker, 5, 0);
  t.equal(breaker.admit(500), 0);
  breaker.abandoned();
  t.equal(breaker.admit(500), 0);
  t.ok(breaker.admit(10_000) > 0);
  t.equal(breaker.admit(10_500), 0);
});

t.test('what fails late, of those who asked before it opened, makes no pause longer', async (t) => {
  const breaker = new CircuitBreaker();
  failing(breaker, 9, 0);
  t.equal(breaker.admit(0), 500);
});

t.test('a registry that is down is asked a few times, however many ask', async (t) => {
  const clock = new FakeClock();
  const registry = new MemoryOrigin({ clock, latencyMs: 1, bytesPerSecond: 1e6 });
  const digest = registry.add(new Uint8Array(10));
  const metrics = createMetrics({ defaults: false });
  const origin = guardedOrigin({ clock, metrics, log: silentLog(), origin: registry.client() });
  const { signal } = new AbortController();
  const read = async (upstream = 'memory.test'): Promise<string> => {
    const reading = origin.readBlob({ origin: { upstream, repository: 'a' }, digest }, { signal });
    const said = reading.then(
      () => 'read',
      (error: unknown) =>
        error instanceof DamselflyError ? `${error.code} ${error.facts['circuit']}` : 'other',
    );
    await Promise.resolve();
    clock.advanceToNext();
    return await said;
  };
  const circuit = async (): Promise<string> =>
    (await metrics.registry.getSingleMetricAsString('damselfly_upstream_circuit')).split('\n').at(-1) ?? '';
  registry.failure = new DamselflyError('UPSTREAM_REFUSED', 'down', { status: 503 });
  for (let time = 0; time < 5; time++) t.equal(await read(), 'UPSTREAM_REFUSED undefined');
  for (let time = 0; time < 100; time++) t.equal(await read(), 'UPSTREAM_UNREACHABLE open');
  t.equal(registry.requests, 5);
  t.match(await circuit(), /upstream="memory.test"} 2/);
  registry.failure = undefined;
  t.equal(await read('another.test'), 'read', 'another one is asked');
  clock.advanceToNext(clock.now() + 500);
  t.equal(await read(), 'read');
  t.equal(await read(), 'read');
  registry.failure = new DamselflyError('UPSTREAM_REFUSED', 'not yours', { status: 403 });
  for (let time = 0; time < 10; time++) {
    t.equal(await read(), 'UPSTREAM_REFUSED undefined', 'no is an answer');
  }
});

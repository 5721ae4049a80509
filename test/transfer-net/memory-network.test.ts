import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { createMemoryNetwork, type MemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';
import type { Address, Link, PeerNetwork } from '../../lib/transfer/seams.ts';
import { listenTo, NEVER, patternBytes, servedBlob } from '../contract/peer-network-parts.ts';

const MIB = 1024 * 1024;
const blob = patternBytes(4 * MIB);
const digest = digestOf(blob);

/** A network of hosts that all serve the blob, and the clock that alone moves it. */
async function cluster(names: string[], upBytesPerSecond?: number) {
  const clock = new FakeClock();
  const network: MemoryNetwork = createMemoryNetwork(
    { clock, rng: createRng(7) },
    { latencyMs: 5, jitterMs: 1 },
  );
  const hosts = new Map<string, PeerNetwork>();
  const addresses = new Map<string, Address>();
  const served = servedBlob(blob);
  const accepted: Link[] = [];
  for (const name of names) {
    const host = network.host(name, upBytesPerSecond === undefined ? {} : { upBytesPerSecond });
    hosts.set(name, host);
    const handlers = { piece: () => served, link: (link: Link) => void accepted.push(link) };
    addresses.set(name, (await host.listen({ host: name, port: 0 }, handlers)).address);
  }
  const fetch = (from: string, to: string, into = new Uint8Array(blob.length)): Promise<Uint8Array> =>
    (hosts.get(from) as PeerNetwork)
      .fetch(
        {
          address: addresses.get(to) as Address,
          from: 'f'.repeat(40),
          digest,
          range: { start: 0, end: into.length },
        },
        into,
        { signal: NEVER },
      )
      .then(() => into);
  const dial = (from: string, to: string): Promise<Link> =>
    (hosts.get(from) as PeerNetwork).dial(addresses.get(to) as Address, { signal: NEVER });
  /** Moves time until nothing is left to happen, or to a moment. */
  const run = async (untilMs?: number): Promise<void> => {
    do await new Promise((resolve) => setImmediate(resolve));
    while (clock.advanceToNext(untilMs));
  };
  /** The outcome so far: a value, an error code, or `pending`. */
  const watch = <T>(promise: Promise<T>): { outcome: unknown; atMs: number } => {
    const state = { outcome: 'pending' as unknown, atMs: -1 };
    const settle = (outcome: unknown): void => void Object.assign(state, { outcome, atMs: clock.now() });
    promise.then(settle, (error: { code?: string }) => settle(error.code));
    return state;
  };
  return { clock, network, fetch, dial, run, watch, served, accepted };
}

await t.test('a transfer takes as long as its bytes need, and shares the uplink', async (t) => {
  const { fetch, run, watch } = await cluster(['a', 'b', 'c'], MIB);
  const alone = watch(fetch('a', 'b'));
  await run();
  t.ok(alone.atMs > 4000 && alone.atMs < 4050, `4 MiB at 1 MiB/s took ${alone.atMs} ms`);
  const [one, two] = [watch(fetch('a', 'b')), watch(fetch('c', 'b'))];
  await run();
  const took = [one.atMs - alone.atMs, two.atMs - alone.atMs];
  t.ok(
    took.every((ms) => ms > 7700 && ms < 8100),
    `two at once took ${took.join(' and ')} ms`,
  );
});

await t.test('the same seed gives the same run to the millisecond', async (t) => {
  const trace = async (): Promise<string> => {
    const { fetch, run, watch } = await cluster(['a', 'b', 'c', 'd'], 50 * MIB);
    const states = ['a', 'c', 'd', 'a'].map((from) => watch(fetch(from, 'b')));
    await run();
    return states.map((state) => state.atMs).join();
  };
  t.equal(await trace(), await trace());
});

await t.test('a crash ends links and transfers, and nothing answers until it is healed', async (t) => {
  const { network, fetch, dial, run, watch, served, accepted } = await cluster(['a', 'b'], MIB);
  const dialled = dial('a', 'b');
  await run();
  const link = listenTo(await dialled);
  const farLink = listenTo(accepted[0] as Link);
  const transfer = watch(fetch('a', 'b'));
  await run(1000);
  t.equal(transfer.outcome, 'pending');
  network.crash('b');
  await run(1001);
  t.equal(transfer.outcome, 'PEER_UNREACHABLE');
  t.equal(served.sent.length, 1, 'the slot is free again');
  t.equal(link.closings + farLink.closings, 2);
  const later = [watch(fetch('a', 'b')), watch(dial('a', 'b')), watch(dial('b', 'a'))];
  await run();
  t.same(
    later.map((state) => state.outcome),
    ['PEER_UNREACHABLE', 'PEER_UNREACHABLE', 'PEER_UNREACHABLE'],
  );
  network.heal('b');
  const reborn = network.host('b');
  await reborn.listen({ host: 'b', port: 40_000 }, { piece: () => served, link: () => {} });
  const again = watch(fetch('a', 'b'));
  await run();
  t.same(Buffer.from(again.outcome as Uint8Array), Buffer.from(blob));
});

await t.test('a dial that was under way when its host crashed never arrives', async (t) => {
  const { network, dial, run, watch, accepted } = await cluster(['a', 'b'], MIB);
  const dialled = watch(dial('a', 'b'));
  network.partition('a', 'b');
  await run(500);
  network.crash('a');
  network.heal('a');
  network.heal('a', 'b');
  await run();
  t.equal(dialled.outcome, 'PEER_UNREACHABLE');
  t.equal(accepted.length, 0, 'nobody is at its other end');
});

await t.test('a stalled host sends nothing while its links go on', async (t) => {
  const { network, fetch, dial, run, watch, accepted } = await cluster(['a', 'b'], MIB);
  const dialled = dial('b', 'a');
  const transfer = watch(fetch('a', 'b'));
  await run(1000);
  network.stall('b');
  const heard = listenTo(accepted[0] as Link);
  (await dialled).send(Buffer.from('still here'));
  await run(20_000);
  t.equal(transfer.outcome, 'pending');
  t.same(heard.messages, ['still here']);
  network.heal('b');
  await run();
  t.same(Buffer.from(transfer.outcome as Uint8Array), Buffer.from(blob));
});

await t.test('a corrupt host flips one bit of each piece', async (t) => {
  const { network, fetch, run, watch } = await cluster(['a', 'b']);
  network.corrupt('b');
  const transfer = watch(fetch('a', 'b'));
  await run();
  const got = transfer.outcome as Uint8Array;
  t.equal(
    got.reduce((wrong, byte, at) => wrong + (byte === blob[at] ? 0 : 1), 0),
    1,
  );
  network.heal('b');
  const clean = watch(fetch('a', 'b'));
  await run();
  t.same(Buffer.from(clean.outcome as Uint8Array), Buffer.from(blob));
});

await t.test(
  'a partition stops everything between two hosts only, and closes their links in time',
  async (t) => {
    const { clock, network, fetch, dial, run, watch } = await cluster(['a', 'b', 'c'], MIB);
    const [ab, ac] = [dial('a', 'b'), dial('a', 'c')];
    await run();
    const [toB, toC] = [listenTo(await ab), listenTo(await ac)];
    const transfer = watch(fetch('a', 'b'));
    await run(1000);
    network.partition('a', 'b');
    const sinceMs = clock.now();
    const dialAcross = watch(dial('a', 'b'));
    const elsewhere = watch(fetch('a', 'c'));
    await run(sinceMs + 4999);
    t.equal(transfer.outcome, 'pending');
    t.equal(dialAcross.outcome, 'PEER_UNREACHABLE');
    t.equal(dialAcross.atMs, sinceMs + 2000, 'after the connect timeout');
    t.not(elsewhere.outcome, 'pending');
    t.equal(toB.closings, 0);
    await run(sinceMs + 5000);
    t.equal(toB.closings, 1);
    t.equal(toC.closings, 0);
    network.heal('a', 'b');
    await run();
    t.same(Buffer.from(transfer.outcome as Uint8Array), Buffer.from(blob), 'what hung goes on');
  },
);

await t.test(
  'what comes to a host that stands still waits, and its neighbours miss it in time',
  async (t) => {
    const { clock, network, fetch, dial, run, watch, accepted } = await cluster(['a', 'b'], MIB);
    const dialled = dial('a', 'b');
    await run();
    const [toB, atB] = [listenTo(await dialled), listenTo(accepted[0] as Link)];
    network.freeze('b');
    const sinceMs = clock.now();
    (await dialled).send(Buffer.from('one'));
    const dialAgain = watch(dial('a', 'b'));
    const transfer = watch(fetch('a', 'b'));
    await run(sinceMs + 4999);
    t.same(atB.messages, []);
    t.equal(dialAgain.outcome, 'PEER_UNREACHABLE');
    t.equal(dialAgain.atMs, sinceMs + 2000, 'its kernel accepts, nobody answers');
    t.equal(toB.closings, 0);
    await run(sinceMs + 5000);
    t.equal(toB.closings, 1);
    t.equal(transfer.outcome, 'pending');
    network.thaw('b');
    await run();
    t.same(Buffer.from(transfer.outcome as Uint8Array), Buffer.from(blob), 'what waited goes on');
  },
);

await t.test('a bad way delays and resends, and keeps the order', async (t) => {
  const { clock, network, dial, run, accepted } = await cluster(['a', 'b', 'c']);
  const [ab, ac] = [dial('a', 'b'), dial('a', 'c')];
  await run();
  const [toB, toC] = [await ab, await ac];
  const [atB, atC] = accepted.map((link) => listenTo(link));
  network.trouble('a', 'b', { delayMs: 100, loss: 0.5 });
  const sinceMs = clock.now();
  const sent = Array.from({ length: 20 }, (_, index) => `message ${index}`);
  for (const text of sent) {
    toB.send(Buffer.from(text));
    toC.send(Buffer.from(text));
  }
  await run(sinceMs + 50);
  t.same(atC?.messages, sent);
  t.same(atB?.messages, []);
  await run();
  t.same(atB?.messages, sent);
  t.ok(clock.now() > sinceMs + 300, 'something was lost and sent again');
  network.trouble('a', 'b', undefined);
  const healedMs = clock.now();
  toB.send(Buffer.from('last'));
  await run();
  t.ok(clock.now() < healedMs + 50);
});

await t.test('a host whose rate changes sends as fast from then on', async (t) => {
  const { clock, network, fetch, run, watch } = await cluster(['a', 'b'], MIB);
  network.setRates('b', { upBytesPerSecond: 4 * MIB });
  const transfer = watch(fetch('a', 'b'));
  await run();
  t.ok(transfer.atMs > 1000 && transfer.atMs < 1050, `4 MiB at 4 MiB/s took ${clock.now()} ms`);
});

await t.test('the buffer pool keeps to its budget and serves waiters in order', async (t) => {
  const pool = createBufferPool({ budgetBytes: 8 * MIB });
  const first = await pool.acquire(4 * MIB, NEVER);
  const second = pool.tryAcquire(3 * MIB);
  t.equal(first.bytes.length, 4 * MIB);
  t.equal(second?.bytes.length, 3 * MIB, 'a view as long as asked for, whatever is kept');
  t.equal(pool.usedBytes, 8 * MIB);
  t.equal(pool.tryAcquire(1), undefined);
  const order: string[] = [];
  const abort = new AbortController();
  const large = pool.acquire(8 * MIB, abort.signal);
  const small = pool.acquire(64 * 1024, NEVER).then((buffer) => (order.push('small'), buffer));
  t.equal(pool.waiting, 2);
  second?.release();
  second?.release();
  t.equal(pool.usedBytes, 4 * MIB, 'a second release is harmless');
  t.equal(pool.waiting, 2, 'the small one does not overtake');
  t.equal(pool.tryAcquire(1), undefined, 'nor does a newcomer');
  abort.abort();
  await t.rejects(large, { code: 'ABORTED' });
  const smallBuffer = await small;
  t.same(order, ['small'], 'it is served when the one before it leaves');
  smallBuffer.release();
  first.release();
  const whole = await pool.acquire(8 * MIB, NEVER);
  t.equal(pool.usedBytes, 8 * MIB, 'kept memory of other sizes makes room');
  whole.release();
  await t.rejects(pool.acquire(1, AbortSignal.abort()), { code: 'ABORTED' });
  await t.rejects(pool.acquire(8 * MIB + 1, NEVER), { code: 'INTERNAL' });
  t.throws(() => pool.tryAcquire(0), { code: 'INTERNAL' });
});

await t.test('the buffer pool reuses memory', async (t) => {
  const pool = createBufferPool({ budgetBytes: 4 * MIB });
  const first = await pool.acquire(MIB, NEVER);
  const memory = first.bytes.buffer;
  first.release();
  t.equal((await pool.acquire(MIB - 5, NEVER)).bytes.buffer, memory);
});

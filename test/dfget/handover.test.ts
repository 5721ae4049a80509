import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Conversation } from '../../dfget/daemon/handover/conversation.ts';
import { MovableSource } from '../../dfget/daemon/handover/movable-source.ts';
import { restOf } from '../../dfget/daemon/handover/rest-of.ts';
import { createSuccessorSource } from '../../dfget/daemon/handover/successor-source.ts';
import type { BlobRequest, BlobSource } from '../../lib/core/blob-source.ts';
import type { Digest } from '../../lib/core/digest.ts';
import { abortedError, DamselflyError } from '../../lib/core/errors.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { inheritanceEnv, inheritedSockets } from '../../lib/runtime/inherited-sockets.ts';

const digest = `sha256:${'a'.repeat(64)}` as Digest;
const origin = { upstream: 'r.test', repository: 'app' };
const request: BlobRequest = { digest, size: 100, origin };
const never = new AbortController().signal;

/** Byte n of the blob is n; ten at a time. `before` is called before each ten, with the offset. */
function numbers(before: (at: number, signal: AbortSignal) => Promise<void> = async () => {}): BlobSource {
  return {
    async *open({ range = { start: 0, end: 100 } }, { signal }) {
      for (let at = range.start; at < range.end; at += 10) {
        await before(at, signal);
        yield Uint8Array.from({ length: Math.min(10, range.end - at) }, (_, index) => at + index);
      }
    },
  };
}

async function readAll(source: BlobSource, asked = request, signal = never): Promise<number[]> {
  const bytes: number[] = [];
  for await (const chunk of source.open(asked, { signal })) bytes.push(...chunk);
  return bytes;
}

const upTo = (end: number, start = 0): number[] => Array.from({ length: end - start }, (_, at) => start + at);
/** Waits until the reader gives up. */
const stuck = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const giveUp = (): void => reject(abortedError(signal));
    if (signal.aborted) giveUp();
    else signal.addEventListener('abort', giveUp);
  });

t.test('what is left of a request keeps its meaning', async (t) => {
  t.same(restOf(request, 0), request);
  t.same(restOf(request, 60), { ...request, range: { start: 60, end: 100 }, rangeIs: 'rest' });
  t.equal(restOf(request, 100), undefined);
  const part = { ...request, range: { start: 20, end: 100 } };
  t.match(restOf(part, 5), { range: { start: 25, end: 100 }, rangeIs: 'part' });
  t.match(restOf({ ...part, rangeIs: 'rest' }, 5), { range: { start: 25, end: 100 }, rangeIs: 'rest' });
  t.match(restOf({ ...request, range: { start: 0, end: 50 } }, 5), { rangeIs: 'part' });
});

t.test('a reader goes on with the next source, wherever it stands', async (t) => {
  for (const moves of [[0], [30], [90], [0, 10, 20, 90], upTo(10).map((ten) => ten * 10)]) {
    const left = new Set(moves);
    const source: BlobSource = numbers(async (at, signal) => {
      if (!left.delete(at)) return;
      void movable.moveTo(Promise.resolve(source));
      if (at !== 20) return await stuck(signal);
    });
    const movable = new MovableSource(source);
    t.same(await readAll(movable), upTo(100), `moved at ${moves.join(', ')}`);
    t.equal(left.size, 0);
  }
});

t.test('a slow reader finds out when it asks for more; the old source is not asked again', async (t) => {
  const asked: number[] = [];
  const movable = new MovableSource(numbers(async (at) => void asked.push(at)));
  const reading = movable.open(request, { signal: never });
  const first = (await reading.next()).value as Uint8Array;
  await movable.moveTo(Promise.resolve(numbers()));
  const rest = [...first];
  for await (const chunk of reading) rest.push(...chunk);
  t.same([rest, asked], [upTo(100), [0]]);
});

t.test('moving waits for reads under way, readers wait for the next source', async (t) => {
  const gate = Promise.withResolvers<void>();
  const movable = new MovableSource(numbers(() => gate.promise));
  const reading = readAll(movable);
  const next = Promise.withResolvers<BlobSource>();
  await new Promise((resolve) => setImmediate(resolve));
  let moved = false;
  const moving = movable.moveTo(next.promise).then(() => {
    moved = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(moved, 'a disk read is under way');
  gate.resolve();
  await moving;
  next.resolve(numbers());
  t.same(await reading, upTo(100));
});

t.test("failures are the reader's, unless the source has moved", async (t) => {
  const broken = numbers(async () => {
    throw new DamselflyError('UPSTREAM_REFUSED', 'no');
  });
  await t.rejects(readAll(new MovableSource(broken)), { code: 'UPSTREAM_REFUSED' });
  const movable = new MovableSource(numbers((_at, signal) => stuck(signal)));
  const gone = new AbortController();
  const reading = readAll(movable, request, gone.signal);
  await movable.moveTo(new Promise(() => {}));
  gone.abort();
  await t.rejects(reading, { code: 'ABORTED' }, 'also while nobody has the blobs');
  const lost = readAll(movable);
  await movable.moveTo(Promise.reject(new DamselflyError('STORE_LOCKED', 'locked')));
  await t.rejects(readAll(movable), { code: 'STORE_LOCKED' });
  void lost.catch(() => {});
});

t.test('a successor whose connection breaks is asked for the rest, for a while', async (t) => {
  const clock = new FakeClock();
  const broke = (): never => {
    throw new DamselflyError('UPSTREAM_BROKEN', 'broke off', { socketPath: '/x' });
  };
  let breaks = 3;
  const flaky = createSuccessorSource(
    clock,
    numbers(async (at) => {
      if (at >= 40 && breaks-- > 0) broke();
    }),
  );
  const whole = readAll(flaky);
  for (let turn = 0; turn < 50; turn++) {
    clock.advanceToNext(clock.now() + 1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.same(await whole, upTo(100));
  const gone = readAll(
    createSuccessorSource(
      clock,
      numbers(async () => broke()),
    ),
  );
  let ended = false;
  gone.catch(() => {
    ended = true;
  });
  const startedMs = clock.now();
  while (!ended) {
    clock.advanceToNext(clock.now() + 1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await t.rejects(gone, { code: 'UPSTREAM_BROKEN' });
  t.ok(clock.now() - startedMs < 20_000);
  const refused = numbers(async () => {
    throw new DamselflyError('UPSTREAM_BROKEN', 'the registry broke off');
  });
  await t.rejects(
    readAll(createSuccessorSource(clock, refused)),
    { code: 'UPSTREAM_BROKEN' },
    'its own words count',
  );
});

async function pair(t: Test, clock: FakeClock): Promise<{ conversation: Conversation; other: Socket }> {
  const path = join(tmpdir(), `handover-${process.pid}-${Math.random()}`);
  // As the connections of an HTTP server are.
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(path), 'listening');
  const other = connect(path);
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => {
    other.destroy();
    server.close();
  });
  return { conversation: new Conversation(socket, Buffer.alloc(0), clock), other };
}

t.test('a conversation: lines in any chunks, silence, and an end', async (t) => {
  const clock = new FakeClock();
  const { conversation, other } = await pair(t, clock);
  const line = `${JSON.stringify({ type: 'take', pid: 7, version: '1' })}\n`;
  other.write(line.slice(0, 9));
  const heard = conversation.hear(1000);
  other.write(`${line.slice(9)}{"type":"serving"}\n`);
  t.match(await heard, { type: 'take', pid: 7 });
  t.same(await conversation.hear(1000), { type: 'serving' });
  const silence = conversation.hear(1000);
  clock.advanceToNext(clock.now() + 1000);
  t.equal(await silence, undefined);
  t.notOk(conversation.ended);
  const last = conversation.hear(1000);
  other.end();
  t.equal(await last, undefined, 'no time has passed: the other side has gone');
  t.ok(conversation.ended);
});

t.test('sockets that were handed over', async (t) => {
  const known = ['proxy', 'admin'];
  const env = inheritanceEnv([
    { name: 'proxy', at: '127.0.0.1:0' },
    { name: 'admin', at: '[::1]:5' },
  ]);
  t.same(inheritedSockets(env, 1, known), [
    { fd: 3, name: 'proxy', at: '127.0.0.1:0' },
    { fd: 4, name: 'admin', at: '[::1]:5' },
  ]);
  const systemd = { LISTEN_FDS: '2', LISTEN_FDNAMES: 'proxy:proxy', LISTEN_PID: '77' };
  t.same(inheritedSockets(systemd, 77, known), [
    { fd: 3, name: 'proxy' },
    { fd: 4, name: 'proxy' },
  ]);
  t.same(inheritedSockets(systemd, 78, known), [], 'they are for another process');
  t.same(inheritedSockets({}, 1, known), []);
  const wrong = { code: 'CONFIG_INVALID', message: /LISTEN_/ };
  t.throws(() => inheritedSockets({ ...systemd, LISTEN_FDNAMES: 'proxy:x' }, 77, known), wrong);
  t.throws(() => inheritedSockets({ ...systemd, LISTEN_FDS: '3' }, 77, known), wrong);
});

import type { Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { hasCode } from '../../lib/core/errors.ts';
import type { ByteRange } from '../../lib/core/range.ts';
import type { Pace } from '../../lib/runtime/rate-limit.ts';
import {
  type Address,
  IDLE_UPLOAD_MS,
  type Link,
  type PeerListener,
  type PeerNetwork,
  type PeerServerHandlers,
  type PieceAdmission,
} from '../../lib/transfer/seams.ts';
import { defer, gatedPace, listenTo, NEVER, patternBytes, servedBlob, within } from './peer-network-parts.ts';

/** Two hosts on one network. */
export interface PeerNetworkFixture {
  readonly client: PeerNetwork;
  readonly server: PeerNetwork;
  /** Where `server` is to listen. */
  readonly listenOn: Address;
  /** From now on the client's host takes nothing that is sent to it, without a word; or it does again. */
  freezeClient(frozen: boolean): void;
}

import { MEDIUM_PEER } from './medium.ts';

const FROM = MEDIUM_PEER;
/** What every PeerNetwork does; `create` gives a fresh pair and cleans up in teardown. */
export async function peerNetworkContract(t: Test, create: (t: Test) => PeerNetworkFixture): Promise<void> {
  const blob = patternBytes(5 * 1024 * 1024 + 321);
  const digest = digestOf(blob);
  const noLinks = (link: Link): void => link.close('not expected');
  const serve = async (
    t: Test,
    piece: PeerServerHandlers['piece'],
    link: PeerServerHandlers['link'] = noLinks,
  ): Promise<Omit<PeerNetworkFixture, 'listenOn'> & { listener: PeerListener; get: Get }> => {
    const { listenOn, ...fixture } = create(t);
    const { client, server } = fixture;
    const listener = await server.listen(listenOn, { piece, link });
    t.teardown(() => listener.close());
    const get: Get = (range, options = {}) => {
      const into = options.into ?? new Uint8Array(range.end - range.start);
      const request = { address: listener.address, from: FROM, digest, range };
      const fetched = client.fetch(request, into, {
        signal: options.signal ?? NEVER,
        ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
        ...(options.pace === undefined ? {} : { pace: options.pace }),
      });
      return within(fetched, 'fetch').then(() => into);
    };
    return { ...fixture, listener, get };
  };
  type Get = (
    range: ByteRange,
    options?: { signal?: AbortSignal; into?: Uint8Array; onProgress?: (bytes: number) => void; pace?: Pace },
  ) => Promise<Uint8Array>;
  const sliceOf = (range: ByteRange): Buffer => Buffer.from(blob.subarray(range.start, range.end));
  const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

  await t.test('delivers exactly the bytes asked for and tells both sides', async (t) => {
    const admission = servedBlob(blob);
    const asked: unknown[] = [];
    const { get } = await serve(t, (request) => {
      asked.push(request);
      return admission;
    });
    for (const range of [
      { start: 0, end: 1 },
      { start: 5, end: 3 * 1024 * 1024 + 7 },
      { start: blob.length - 10, end: blob.length },
    ]) {
      const progress: number[] = [];
      const got = await get(range, { onProgress: (bytes) => progress.push(bytes) });
      t.ok(same(got, sliceOf(range)), `bytes ${range.start} to ${range.end}`);
      t.equal(progress.at(-1), got.length, 'progress ends at the length');
      t.same(
        progress,
        [...new Set(progress)].sort((a, b) => a - b),
        'progress only rises',
      );
      t.same(asked.at(-1), { from: FROM, digest, range });
      t.equal(admission.sent.at(-1), got.length, 'done tells what was sent');
    }
    t.equal(admission.sent.length, 3, 'done is called once for each');
  });

  await t.test('serves many pieces at once', async (t) => {
    const { get } = await serve(t, () => servedBlob(blob));
    const ranges = Array.from({ length: 40 }, (_, i) => ({ start: i * 100_000, end: i * 100_000 + 262_144 }));
    const got = await Promise.all(ranges.map((range) => get(range)));
    t.ok(got.every((bytes, i) => same(bytes, sliceOf(ranges[i] as ByteRange))));
  });

  await t.test('a busy peer says how many slots are free, an unknown blob says so', async (t) => {
    const answers: PieceAdmission[] = [
      { kind: 'busy', freeSlots: 0 },
      { kind: 'busy', freeSlots: 3 },
      { kind: 'unknown' },
    ];
    const { get } = await serve(t, () => answers.shift() ?? servedBlob(blob));
    await t.rejects(get({ start: 0, end: 10 }), { code: 'PEER_BUSY', facts: { freeSlots: 0 } });
    await t.rejects(get({ start: 0, end: 10 }), { code: 'PEER_BUSY', facts: { freeSlots: 3 } });
    await t.rejects(get({ start: 0, end: 10 }), { code: 'BLOB_UNKNOWN' });
    t.ok(
      same(await get({ start: 0, end: 10 }), sliceOf({ start: 0, end: 10 })),
      'and the next one is served',
    );
  });

  await t.test('nobody listening is PEER_UNREACHABLE', async (t) => {
    const { client, listener, get } = await serve(t, () => servedBlob(blob));
    await get({ start: 0, end: 10 });
    await within(listener.close(), 'close');
    await t.rejects(get({ start: 0, end: 10 }), { code: 'PEER_UNREACHABLE' });
    await t.rejects(within(client.dial(listener.address, { signal: NEVER }), 'dial'), {
      code: 'PEER_UNREACHABLE',
    });
  });

  for (const side of ['sender', 'receiver']) {
    await t.test(`bytes pass no faster than the pace of the ${side} lets them`, async (t) => {
      const range = { start: 0, end: 2_000_000 };
      const { pace, stopped, goOn, taken } = gatedPace(100_000, 5);
      const paced = servedBlob(blob);
      let next = side === 'sender' ? { ...paced, pace } : paced;
      const { get } = await serve(t, () => next);
      let received = 0;
      const options = { onProgress: (bytes: number) => void (received = bytes) };
      const fetched = get(range, side === 'receiver' ? { ...options, pace } : options);
      await within(stopped, 'the pace holds it');
      // Another transfer, so that this one had time to go on.
      next = servedBlob(blob);
      await get(range);
      t.ok(received <= 600_000, `${received} bytes while it was held`);
      goOn();
      t.ok(same(await fetched, sliceOf(range)), 'and all of them in the end');
      const sum = taken.reduce((total, bytes) => total + bytes, 0);
      t.ok(sum >= 2_000_000 && sum < 2_001_000, `accounted for: ${sum}`);
      t.ok(Math.max(...taken) <= 101_000, `at once: ${Math.max(...taken)}`);
    });
  }

  await t.test('a range beyond the blob is a protocol error and frees the slot', async (t) => {
    const admission = servedBlob(blob);
    const { get } = await serve(t, () => admission);
    await t.rejects(get({ start: 0, end: blob.length + 1 }), { code: 'PEER_PROTOCOL' });
    t.same(admission.sent, [0]);
  });

  await t.test('an abort ends the transfer on both sides, and nothing more is written', async (t) => {
    const admission = servedBlob(blob);
    const gate = defer<void>();
    const { get } = await serve(t, () => ({
      ...admission,
      async read(offset, into) {
        if (offset > 2 * 1024 * 1024) await gate.promise;
        await admission.read(offset, into);
      },
    }));
    const before = AbortSignal.abort();
    await t.rejects(get({ start: 0, end: 10 }, { signal: before }), { code: 'ABORTED' });
    const abort = new AbortController();
    const into = new Uint8Array(blob.length);
    const transfer = get(
      { start: 0, end: blob.length },
      { signal: abort.signal, into, onProgress: (bytes) => bytes > 1_000_000 && abort.abort() },
    );
    await t.rejects(transfer, { code: 'ABORTED' });
    const snapshot = Buffer.from(into);
    gate.resolve();
    t.ok((await within(admission.ended, 'done')) < blob.length, 'the server stops early');
    t.ok(same(into, snapshot), 'the memory belongs to the caller again');
    t.equal(admission.sent.length, 1);
  });

  await t.test('an upload that nobody takes says so once, and goes on when it is taken again', async (t) => {
    // More than what any network buffers on the way.
    const size = 16 * 1024 * 1024;
    const served = servedBlob(new Uint8Array(size));
    const idle = defer<void>();
    const { freezeClient, get } = await serve(t, () => ({
      ...served,
      idle() {
        served.idle();
        idle.resolve();
      },
    }));
    let frozen = false;
    const onProgress = (): void => {
      if (!frozen) freezeClient(true);
      frozen = true;
    };
    const transfer = get({ start: 0, end: size }, { onProgress });
    await within(idle.promise, 'idle');
    t.same(served.sent, [], 'the upload has not ended');
    freezeClient(false);
    t.equal((await transfer).length, size);
    t.equal(await within(served.ended, 'done'), size);
    t.same(served.idled, [0]);
    t.equal(served.sent.length, 1);
  });

  await t.test('a read that takes long is not idleness of the receiver', async (t) => {
    const admission = servedBlob(blob);
    const { get } = await serve(t, () => ({
      ...admission,
      async read(offset, into) {
        await new Promise((resolve) => setTimeout(resolve, 3 * IDLE_UPLOAD_MS));
        await admission.read(offset, into);
      },
    }));
    await get({ start: 0, end: 1000 });
    await within(admission.ended, 'done');
    t.same(admission.idled, []);
  });

  await t.test('a failing read ends the transfer, not the server', async (t) => {
    const admission = servedBlob(blob);
    let failing = true;
    const { get } = await serve(t, () => ({
      ...admission,
      async read(offset, into) {
        if (failing && offset > 0) throw new Error('disk on fire');
        await admission.read(offset, into);
      },
    }));
    const range = { start: 0, end: blob.length };
    await t.rejects(get(range), { code: 'PEER_UNREACHABLE' });
    await within(admission.ended, 'done');
    failing = false;
    t.ok(same(await get(range), sliceOf(range)));
    t.equal(admission.sent.length, 2);
  });

  await t.test('closing the transport fails what is under way and what comes later', async (t) => {
    const { client, get } = await serve(t, () => ({
      ...servedBlob(blob),
      read: () => new Promise(() => {}),
    }));
    const transfer = get({ start: 0, end: 10 }).catch((error: unknown) => error);
    await within(client.close(), 'close');
    t.ok(hasCode(await transfer, 'PEER_UNREACHABLE'));
    await t.rejects(get({ start: 0, end: 10 }), { code: 'PEER_UNREACHABLE' });
    await t.rejects(client.dial({ host: '127.0.0.1', port: 9 }, { signal: NEVER }), {
      code: 'PEER_UNREACHABLE',
    });
  });

  await t.test('closing the listener lets running uploads finish', async (t) => {
    const reading = defer<void>();
    const gate = defer<void>();
    const { listener, get } = await serve(t, () => ({
      ...servedBlob(blob),
      async read(offset, into) {
        reading.resolve();
        await gate.promise;
        into.set(blob.subarray(offset, offset + into.length));
      },
    }));
    const range = { start: 0, end: 2 * 1024 * 1024 };
    const transfer = get(range);
    await within(reading.promise, 'read');
    const closed = listener.close();
    gate.resolve();
    t.ok(same(await transfer, sliceOf(range)));
    await within(closed, 'close');
    await listener.close();
  });

  const linked = async (t: Test): Promise<{ near: Link; far: Link; listener: PeerListener }> => {
    const far = defer<Link>();
    const { client, listener } = await serve(
      t,
      () => ({ kind: 'unknown' }),
      (link) => far.resolve(link),
    );
    const near = await within(client.dial(listener.address, { signal: NEVER }), 'dial');
    return { near, far: await within(far.promise, 'link'), listener };
  };

  await t.test('links carry messages in order, also those that came before anyone listened', async (t) => {
    const { near, far } = await linked(t);
    const nearHeard = listenTo(near);
    for (let i = 0; i < 100; i++) near.send(Buffer.from(`message ${i}`));
    far.send(Buffer.from('first'));
    near.send(Buffer.alloc(300_000, 'x'));
    near.close('enough');
    near.send(Buffer.from('dropped'));
    const farHeard = listenTo(far);
    t.equal(await within(farHeard.closed, 'closed'), 'enough');
    t.same(
      farHeard.messages.slice(0, 100),
      Array.from({ length: 100 }, (_, i) => `message ${i}`),
    );
    t.equal(farHeard.messages.length, 101);
    t.equal(farHeard.messages[100]?.length, 300_000);
    await within(nearHeard.closed, 'closed');
    near.close('again');
    far.close('again');
    far.send(Buffer.from('dropped too'));
    t.equal(near.bufferedBytes, 0);
    t.equal(farHeard.closings + nearHeard.closings, 2, 'each end hears it once');
    t.ok(near.remoteHost !== '' && far.remoteHost !== '');
  });

  await t.test('closed never comes from inside close, and comes to whoever listens late', async (t) => {
    const { near, far } = await linked(t);
    const heard = listenTo(near);
    far.send(Buffer.from('farewell'));
    far.close('bye');
    t.equal(await within(heard.closed, 'closed'), 'bye');
    const late = listenTo(far);
    t.equal(await within(late.closed, 'closed'), 'bye');
    const other = await linked(t);
    const otherHeard = listenTo(other.near);
    other.near.close('mine');
    t.equal(otherHeard.closings, 0);
    t.equal(await within(otherHeard.closed, 'closed'), 'mine');
  });

  await t.test('a listener that closes the link on a message hears no more', async (t) => {
    const { near, far } = await linked(t);
    for (let i = 0; i < 5; i++) near.send(Buffer.from(`message ${i}`));
    near.close('done');
    const nearHeard = listenTo(near);
    await within(nearHeard.closed, 'closed');
    const heard: string[] = [];
    const ended = defer<string>();
    far.listen({
      message(message) {
        heard.push(Buffer.from(message).toString());
        far.close('enough');
      },
      closed: ended.resolve,
    });
    await within(ended.promise, 'closed');
    t.same(heard, ['message 0']);
  });

  await t.test('closing the listener closes its links', async (t) => {
    const { near, far, listener } = await linked(t);
    const [nearHeard, farHeard] = [listenTo(near), listenTo(far)];
    await within(listener.close(), 'close');
    t.equal(await within(nearHeard.closed, 'closed'), 'shutting down');
    await within(farHeard.closed, 'closed');
  });

  await t.test('too much before anyone listens closes the link', async (t) => {
    const { near, far } = await linked(t);
    const heard = listenTo(near);
    for (let i = 0; i < 40; i++) near.send(new Uint8Array(64 * 1024));
    t.match(await within(heard.closed, 'closed'), /too much/);
    const farHeard = listenTo(far);
    t.ok(farHeard.messages.join('').length <= 1024 * 1024);
  });

  await t.test('a message that is too large closes the link', async (t) => {
    const { near, far } = await linked(t);
    const [nearHeard, farHeard] = [listenTo(near), listenTo(far)];
    near.send(new Uint8Array(4 * 1024 * 1024 + 1));
    await within(Promise.all([nearHeard.closed, farHeard.closed]), 'closed');
    t.same(farHeard.messages, []);
  });

  await t.test('a dial can be given up', async (t) => {
    const { client, listener } = await serve(
      t,
      () => ({ kind: 'unknown' }),
      () => {},
    );
    await t.rejects(client.dial(listener.address, { signal: AbortSignal.abort() }), { code: 'ABORTED' });
    const abort = new AbortController();
    const dial = client.dial(listener.address, { signal: abort.signal });
    abort.abort();
    await t.rejects(within(dial, 'dial'), { code: 'ABORTED' });
  });

  await t.test('an address in use is a configuration error', async (t) => {
    const { server, listener } = await serve(t, () => ({ kind: 'unknown' }));
    const handlers: PeerServerHandlers = { link: noLinks, piece: () => ({ kind: 'unknown' }) };
    await t.rejects(server.listen(listener.address, handlers), { code: 'CONFIG_INVALID' });
  });
}

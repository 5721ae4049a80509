import { once } from 'node:events';
import t, { type Test } from 'tap';
import { type RawData, WebSocket } from 'ws';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';
import { trackerConfig } from '../../tracker/config.ts';
import { createTracker } from '../../tracker/tracker.ts';

const anyPort = { host: '127.0.0.1', port: 0 };
const systemClock = createSystemClock();
const peerNamed = (name: string, role: Role = 'node'): PeerInfo => ({
  id: Buffer.from(name.padEnd(20, '.')).toString('hex'),
  role,
  host: '10.0.0.1',
  port: 4000,
  zone: '',
});
const layer = (n: number) => digestOf(Buffer.from(`layer ${n}`));

async function start(t: Test, clock: Clock = systemClock) {
  const deps = { log: silentLog(), clock, rng: createRng(5) };
  const tracker = await createTracker(deps, {
    listen: anyPort,
    httpListen: anyPort,
    udpListen: false,
    processMetrics: false,
  });
  t.teardown(() => tracker.close());
  const { port } = tracker.controlAddress;
  const url = `ws://127.0.0.1:${port}/control`;
  const connect = async (): Promise<Member> => {
    const socket = new WebSocket(url);
    t.teardown(() => socket.terminate());
    const member = new Member(socket);
    await once(socket, 'open');
    return member;
  };
  const join = async (peer: PeerInfo): Promise<Member> => {
    const member = await connect();
    member.send({ type: 'hello', protocol: 1, peer, clusterTimeMs: 0 });
    await member.next('welcome');
    return member;
  };
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { tracker, connect, join, get, url, port };
}

/** A bare control connection that collects what it is sent. */
class Member {
  readonly socket: WebSocket;
  readonly closed: Promise<number>;
  #unread: ControlMessage[] = [];
  #wake: () => void = () => {};

  constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = once(socket, 'close').then(([code]) => code as number);
    socket.on('message', (data: RawData) => {
      const message = decodeControl((data as Buffer).toString());
      if (message !== undefined) this.#unread.push(message);
      this.#wake();
    });
    socket.on('error', () => {});
  }

  send(message: ControlMessage): void {
    this.socket.send(encodeControl(message));
  }

  /** Nothing has come that was not read. */
  get quiet(): boolean {
    return this.#unread.length === 0;
  }

  /** The next message of that type; those before it are left out. */
  async next<T extends ControlMessage['type']>(type: T): Promise<ControlMessage & { type: T }> {
    for (;;) {
      const message = this.#unread.shift();
      if (message?.type === type) return message as ControlMessage & { type: T };
      if (message === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

t.test('hello is answered by welcome, heartbeat by heartbeat, and a later version gets ours', async (t) => {
  const { connect, get } = await start(t);
  const member = await connect();
  member.send({
    type: 'hello',
    protocol: 7,
    peer: { ...peerNamed('a', 'supernode'), host: '' },
    clusterTimeMs: 0,
  });
  const welcome = await member.next('welcome');
  t.equal(welcome.protocol, 1);
  t.equal(welcome.heartbeatMs, 5000, 'of a supernode');
  t.ok(Math.abs(welcome.clusterTimeMs - Date.now()) < 60_000);
  member.send({ type: 'heartbeat' });
  await member.next('heartbeat');
  const metrics = (await get('/metrics')).text;
  t.match(metrics, 'damselfly_tracker_members{protocol="damselfly"} 1');
  t.match(metrics, 'damselfly_tracker_control_messages_total{type="heartbeat"} 1');
  t.same(await get('/healthz'), { status: 200, text: '{"status":"ok"}' });
  const ready = await get('/readyz');
  t.equal(ready.status, 200);
  t.match(JSON.parse(ready.text), { status: 'ready', checks: { listening: true }, notes: [/^insecure/] });
  t.equal((await get('/elsewhere')).status, 404);
});

t.test('a member without a host is known by the address it comes from', async (t) => {
  const { connect, join } = await start(t);
  const nameless = await connect();
  nameless.send({
    type: 'hello',
    protocol: 1,
    peer: { ...peerNamed('a', 'supernode'), host: '' },
    clusterTimeMs: 0,
  });
  await nameless.next('welcome');
  const other = await join(peerNamed('b'));
  other.send({ type: 'announce', blobs: [{ digest: layer(1), size: 1, have: 'none' }] });
  t.same((await other.next('neighbours')).blobs, [
    { digest: layer(1), peers: [{ ...peerNamed('a', 'supernode'), host: '127.0.0.1' }], owned: true },
  ]);
});

t.test('what breaks the protocol ends that connection and no other', async (t) => {
  const { connect, join, url } = await start(t);
  const witness = await join(peerNamed('witness'));
  const blobs = Array.from({ length: 10_000 }, (_, n) => ({ digest: layer(n), size: 1, have: 'none' }));
  const cases: Record<string, { send: string | Buffer; code: number; hello?: true }> = {
    'announce before hello': { send: '{"type":"announce","blobs":[]}', code: 1002 },
    'half a message': { send: '{"type":', code: 1002, hello: true },
    'binary frames': { send: Buffer.from('{"type":"heartbeat"}'), code: 1002, hello: true },
    'more than 1 MiB': { send: `"${'x'.repeat(1024 * 1024)}"`, code: 1009, hello: true },
    '10,000 blobs in a message': {
      send: JSON.stringify({ type: 'announce', blobs }).slice(0, 1024 * 1024),
      code: 1002,
      hello: true,
    },
    '1,100 blobs in a message': {
      send: JSON.stringify({ type: 'announce', blobs: blobs.slice(0, 1100) }),
      code: 1002,
      hello: true,
    },
    'a second hello': {
      send: encodeControl({ type: 'hello', protocol: 1, peer: peerNamed('x'), clusterTimeMs: 0 }),
      code: 1002,
      hello: true,
    },
    'what only a tracker says': { send: '{"type":"epoch","epoch":1}', code: 1002, hello: true },
  };
  for (const [what, { send, code, hello }] of Object.entries(cases)) {
    const member = hello === undefined ? await connect() : await join(peerNamed('hostile'));
    member.socket.send(send);
    t.equal(await member.closed, code, what);
  }
  const later = await join(peerNamed('later'));
  later.socket.send('{"type":"from a later version"}');
  later.send({ type: 'heartbeat' });
  await later.next('heartbeat');
  t.pass('an unknown type is ignored');
  for (const [path, options, status] of [
    ['/other', {}, 404],
    ['/control', { origin: 'http://evil.example' }, 403],
  ] as const) {
    const socket = new WebSocket(url.replace('/control', path), options);
    const [error] = (await once(socket, 'error')) as [Error];
    t.match(error.message, `${status}`);
  }
  witness.send({ type: 'heartbeat' });
  await witness.next('heartbeat');
});

t.test('every announcement of what is incomplete is answered, were there nobody', async (t) => {
  const { join } = await start(t);
  const member = await join(peerNamed('first'));
  const announce = (n: number, have: 'none' | 'some' | 'all'): void =>
    member.send({ type: 'announce', blobs: [{ digest: layer(n), size: 1, have }] });
  announce(1, 'none');
  t.same((await member.next('neighbours')).blobs, [{ digest: layer(1), peers: [] }]);
  announce(1, 'some');
  t.same((await member.next('neighbours')).blobs, [{ digest: layer(1), peers: [] }], 'each time');
  announce(2, 'all');
  announce(3, 'none');
  t.same((await member.next('neighbours')).blobs, [{ digest: layer(3), peers: [] }], 'who has all gets none');
});

t.test('heartbeats and newcomers are answered while a burst is worked on', async (t) => {
  const clock = new FakeClock();
  const { join } = await start(t, clock);
  await join(peerNamed('supernode', 'supernode'));
  const [crowd, newcomer] = [await join(peerNamed('crowd')), await join(peerNamed('newcomer'))];
  const blobs = (count: number, have: 'none' | 'some') =>
    Array.from({ length: count }, (_, n) => ({ digest: layer(n), size: 1, have }));
  crowd.send({ type: 'announce', blobs: blobs(1000, 'some') });
  crowd.send({ type: 'heartbeat' });
  const answered = async (member: Member, count: number): Promise<void> => {
    for (let left = count; left > 0; ) left -= (await member.next('neighbours')).blobs.length;
  };
  t.equal((await crowd.next('neighbours')).blobs.length, 1, 'the first blob of a newcomer is answered at once');
  await crowd.next('heartbeat');
  newcomer.send({ type: 'announce', blobs: blobs(20, 'none') });
  newcomer.send({ type: 'heartbeat' });
  t.same(
    (await newcomer.next('neighbours')).blobs.map(({ digest }) => digest),
    [layer(0)],
  );
  await newcomer.next('heartbeat');
  t.ok(crowd.quiet && newcomer.quiet, 'nothing else has been sent: no time has passed');
  while (clock.now() === 0 && clock.advanceToNext(0));
  await answered(crowd, 999);
  await answered(newcomer, 19);
});

t.test('a second connection with the same id replaces the first', async (t) => {
  const { join, get } = await start(t);
  const first = await join(peerNamed('a'));
  const second = await join(peerNamed('a'));
  t.equal(await first.closed, 1008);
  second.send({ type: 'heartbeat' });
  await second.next('heartbeat');
  t.match(
    (await get('/metrics')).text,
    'damselfly_tracker_members{protocol="damselfly"} 1',
    'the end of the first did not remove it',
  );
});

t.test('silence ends a connection without a hello after 10 s, of a supernode 15 s, of a node 90 s', async (t) => {
  const clock = new FakeClock();
  const { connect, join, get } = await start(t, clock);
  const [supernode, node, mute, speaking] = [
    await join(peerNamed('supernode', 'supernode')),
    await join(peerNamed('silent')),
    await connect(),
    await join(peerNamed('speaking')),
  ];
  const members = async (): Promise<string | undefined> =>
    /members\{protocol="damselfly"\} (\d+)/.exec((await get('/metrics')).text)?.[1];
  const runTo = async (ms: number): Promise<void> => {
    while (clock.now() < ms && clock.advanceToNext()) {
      speaking.send({ type: 'heartbeat' });
      await speaking.next('heartbeat');
    }
  };
  await runTo(20_000);
  t.equal(await mute.closed, 1002);
  t.equal(await supernode.closed, 1008);
  await runTo(89_000);
  t.equal(await members(), '2');
  await runTo(93_000);
  t.equal(await node.closed, 1008);
  t.equal(await members(), '1');
  t.equal(speaking.socket.readyState, WebSocket.OPEN);
});

t.test('a tracker that was paused reads its mail before it gives anybody up', async (t) => {
  const inner = new FakeClock();
  let pausedMs = 0;
  const clock: Clock = { now: () => inner.now() + pausedMs, after: (...args) => inner.after(...args) };
  const { join } = await start(t, clock);
  const member = await join(peerNamed('patient'));
  pausedMs = 60_000;
  // The sweep that was due during the pause, and no other.
  while (inner.now() < 1_000) inner.advanceToNext();
  member.send({ type: 'heartbeat' });
  const outcome = await Promise.race([member.next('heartbeat'), member.closed]);
  t.same(outcome, { type: 'heartbeat' });
  while (inner.now() < 5_000) inner.advanceToNext();
  member.send({ type: 'heartbeat' });
  t.same(await Promise.race([member.next('heartbeat'), member.closed]), { type: 'heartbeat' });
});

t.test('a member that asks and does not read is dropped, others are served', async (t) => {
  const { join, get } = await start(t);
  await join(peerNamed('supernode', 'supernode'));
  const [stuck, witness] = [await join(peerNamed('stuck')), await join(peerNamed('witness'))];
  stuck.socket.pause();
  const blobs = Array.from({ length: 1000 }, (_, n) => ({
    digest: layer(n),
    size: 1,
    have: 'none' as const,
  }));
  const text = encodeControl({ type: 'announce', blobs });
  const dropped = async (): Promise<boolean> =>
    (await get('/metrics')).text.includes('damselfly_tracker_refused_total{reason="slow"} 1');
  let asked = 0;
  // 8 MiB wait in the tracker, some more in the two sockets; each answer is about 100 KiB.
  for (; asked < 1000 && !(await dropped()); asked++) {
    stuck.socket.send(text);
    witness.send({ type: 'heartbeat' });
    await witness.next('heartbeat');
  }
  t.ok(asked < 1000, 'dropped');
  t.ok(asked > 50, `not before it was far behind: ${asked}`);
  stuck.socket.resume();
  t.equal(await stuck.closed, 1006);
});

t.test('one member cannot fill the tracker with blobs that nobody else shares', async (t) => {
  const { join, get } = await start(t);
  const member = await join(peerNamed('greedy'));
  for (let part = 0; part < 25; part++) {
    const blobs = Array.from({ length: 1000 }, (_, n) => ({
      digest: layer(part * 1000 + n),
      size: 1,
      have: 'all' as const,
    }));
    member.send({ type: 'announce', blobs });
  }
  t.equal(await member.closed, 1008);
  const later = await join(peerNamed('later'));
  later.send({ type: 'heartbeat' });
  await later.next('heartbeat');
  t.match(
    (await get('/metrics')).text,
    'damselfly_tracker_swarms{protocol="damselfly"} 0',
    'all of it is forgotten',
  );
});

t.test('close ends every connection, though a member does not answer', async (t) => {
  const { tracker, join, get } = await start(t);
  const [polite, stuck] = [await join(peerNamed('polite')), await join(peerNamed('stuck'))];
  stuck.socket.pause();
  const startedMs = systemClock.now();
  await Promise.all([tracker.close(), tracker.close()]);
  t.ok(systemClock.now() - startedMs < 4000, 'within the 5 s that a stop may take');
  t.equal(await polite.closed, 1001);
  await t.rejects(get('/healthz'), 'nothing listens any more');
});

t.test('a port that is taken is said so, and nothing is left open', async (t) => {
  const { port } = await start(t);
  const deps = { log: silentLog(), clock: systemClock, rng: createRng(1) };
  const taken = { host: '127.0.0.1', port };
  const expected = { code: 'CONFIG_INVALID', message: `cannot listen on 127.0.0.1:${port}` };
  await t.rejects(
    createTracker(deps, { listen: taken, httpListen: anyPort, processMetrics: false }),
    expected,
  );
  await t.rejects(
    createTracker(deps, { listen: anyPort, httpListen: taken, processMetrics: false }),
    expected,
  );
});

t.test('settings default to the documented ports', async (t) => {
  t.match(trackerConfig.parse({}), {
    listen: { host: '0.0.0.0', port: 8400 },
    httpListen: { host: '0.0.0.0', port: 8401 },
    udpListen: undefined,
    logLevel: 'info',
    insecure: false,
  });
  t.equal(trackerConfig.parse({ udpListen: 'off' }).udpListen, false);
  t.same(trackerConfig.parse({ udpListen: ':3' }).udpListen, { host: '0.0.0.0', port: 3 });
  t.throws(
    () => trackerConfig.parse({ udpListen: 'yes' }),
    /expected host:port, such as 0.0.0.0:8401, or off/,
  );
});

t.test('2,000 nodes announce an image of 20 layers', { timeout: 120_000 }, async (t) => {
  const NODES = 2000;
  const LAYERS = 20;
  const { url, join } = await start(t);
  await join(peerNamed('supernode', 'supernode'));
  const deps = { log: silentLog(), clock: systemClock, rng: createRng(9) };
  let connected = 0;
  let answered = 0;
  let allConnected = (): void => {};
  let allAnswered = (): void => {};
  const everyConnection = new Promise<void>((resolve) => {
    allConnected = resolve;
  });
  const everyAnswer = new Promise<void>((resolve) => {
    allAnswered = resolve;
  });
  const nodes = Array.from({ length: NODES }, (_, n) => {
    const node = createTrackerDiscovery(deps, { trackers: [url], peer: peerNamed(`node ${n}`) });
    const waiting = new Set(Array.from({ length: LAYERS }, (_, n) => layer(n)));
    node.listen({
      reachable: () => void (++connected === NODES && allConnected()),
      neighbours: (digest) => void (waiting.delete(digest) && ++answered === NODES * LAYERS && allAnswered()),
    });
    return node;
  });
  t.teardown(() => Promise.all(nodes.map((node) => node.close())));
  const dialledMs = systemClock.now();
  await everyConnection;
  const announcedMs = systemClock.now();
  const blobs = Array.from({ length: LAYERS }, (_, n) => ({
    digest: layer(n),
    size: 1000,
    have: 'none' as const,
  }));
  for (const node of nodes) node.announce(blobs);
  await everyAnswer;
  t.equal(answered, NODES * LAYERS);
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  t.comment(
    `${NODES} connections in ${seconds(announcedMs - dialledMs)} s, ${answered} announcements answered in ` +
      `${seconds(systemClock.now() - announcedMs)} s, both sides in this process`,
  );
});

import { once } from 'node:events';
import t from 'tap';
import { WebSocket } from 'ws';
import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';
import { trackerConfig } from '../../tracker/config.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { anyPort, layer, peerNamed, start, systemClock } from './control-rig.ts';

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
  t.equal(welcome.heartbeatMs, 1000, 'of a supernode');
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

t.test(
  'without identities the token of the admin port closes the metrics of the control port too',
  async (t) => {
    const folder = t.testdir({ token: 'f00dfeedf00dfeed\n', short: 'f00d' });
    const tracker = (name: string) =>
      createTracker(
        { log: silentLog(), clock: new FakeClock(), rng: createRng(1) },
        { listen: anyPort, httpListen: anyPort, processMetrics: false, adminTokenFile: `${folder}/${name}` },
      );
    await t.rejects(tracker('short'), { code: 'CONFIG_INVALID', message: /--admin-token-file/ });
    const running = await tracker('token');
    t.teardown(() => running.close());
    const status = async (path: string, authorization?: string): Promise<number> => {
      const headers = authorization === undefined ? {} : { authorization };
      return (await fetch(`http://127.0.0.1:${running.controlAddress.port}${path}`, { headers })).status;
    };
    for (const path of ['/healthz', '/readyz']) t.equal(await status(path), 200, path);
    for (const shown of [undefined, 'Bearer f00d', 'Basic f00dfeedf00dfeed']) {
      t.equal(await status('/metrics', shown), 401, shown ?? 'none');
    }
    t.equal(await status('/metrics', 'Bearer f00dfeedf00dfeed'), 200);
  },
);

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

t.test('a member that others could not dial is had to dial them, also those who come later', async (t) => {
  const { join } = await start(t);
  const [walled, first, later] = [peerNamed('walled'), peerNamed('first'), peerNamed('later')];
  const [behind, one, two] = [await join(walled), await join(first), await join(later)];
  const share = { digest: layer(1), size: 1 };
  behind.send({ type: 'announce', blobs: [{ ...share, have: 'some' }] });
  await behind.next('neighbours');
  one.send({ type: 'announce', blobs: [{ ...share, have: 'none' }] });
  await one.next('neighbours');
  one.send({ type: 'unreached', ids: [walled.id, 'f'.repeat(40)] });
  t.same((await behind.next('dial')).peers, [first]);
  t.ok(behind.quiet);
  two.send({ type: 'announce', blobs: [{ ...share, have: 'none' }] });
  await two.next('neighbours');
  t.same((await behind.next('dial')).peers, [later]);
  t.ok(one.quiet, 'others are not told');
});

t.test('a member that was dialled after all by whoever could not is not had to dial others', async (t) => {
  const { join } = await start(t);
  const [slow, first, later, last] = ['slow', 'first', 'later', 'last'].map((name) => peerNamed(name));
  const [busy, one, two, three] = [
    await join(slow!),
    await join(first!),
    await join(later!),
    await join(last!),
  ];
  const share = { digest: layer(1), size: 1 };
  busy.send({ type: 'announce', blobs: [{ ...share, have: 'some' }] });
  await busy.next('neighbours');
  for (const [member, peer] of [
    [one, first],
    [two, later],
  ] as const) {
    member.send({ type: 'unreached', ids: [slow!.id] });
    t.same((await busy.next('dial')).peers, [peer]);
  }
  const reach = async (member: typeof one): Promise<void> => {
    for (const type of ['reached', 'heartbeat'] as const) member.send({ type, ids: [slow!.id] });
    await member.next('heartbeat');
  };
  const pull = async (member: typeof one): Promise<void> => {
    member.send({ type: 'announce', blobs: [{ ...share, have: 'none' }] });
    await member.next('neighbours');
    busy.send({ type: 'heartbeat' });
  };
  await reach(one);
  await reach(three);
  await pull(three);
  t.same((await busy.next('dial')).peers, [last], 'one of them still cannot');
  await busy.next('heartbeat');
  await reach(two);
  await pull(one);
  await busy.next('heartbeat');
  t.ok(busy.quiet, 'nobody cannot');
});

t.test(
  'one member has others dial an address of its choice only so often, also when it comes back',
  async (t) => {
    const { join } = await start(t);
    const [many, victim] = [await join(peerNamed('many')), peerNamed('victim')];
    const ids = Array<string>(50).fill(peerNamed('many').id);
    for (let connections = 0; connections < 2; connections++) {
      const caller = await join(victim);
      caller.send({ type: 'unreached', ids });
      caller.send({ type: 'heartbeat' });
      await caller.next('heartbeat');
    }
    for (let i = 0; i < 64; i++) t.same((await many.next('dial')).peers, [victim]);
    const other = await join(peerNamed('other'));
    other.send({ type: 'unreached', ids: [peerNamed('many').id] });
    t.same((await many.next('dial')).peers, [peerNamed('other')], 'nothing more of the first, all of others');
  },
);

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

t.test(
  'silence ends a connection without a hello after 10 s, of a supernode 15 s, of a node 90 s',
  async (t) => {
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
  },
);

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

t.test('case 62: one member cannot fill the tracker with blobs that nobody else shares', async (t) => {
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
    btUdp: undefined,
    logLevel: 'info',
    insecure: false,
  });
  t.same(trackerConfig.parse({ udpListen: ':3' }).udpListen, { host: '0.0.0.0', port: 3 });
  const { btUdp } = trackerConfig.parse({ btUdp: '10.0.0.0/8, 192.0.2.7,fd00::/8' });
  for (const inside of ['10.255.0.1', '::ffff:10.0.0.1', '192.0.2.7', 'fd00::1']) {
    t.ok(btUdp?.includes(inside), inside);
  }
  for (const outside of ['11.0.0.1', '192.0.2.8', 'fe80::1', '::ffff:11.0.0.1', 'nothing']) {
    t.notOk(btUdp?.includes(outside), outside);
  }
  for (const wrong of ['yes', '10.0.0.0/33', '10.0.0.0/', '', '10.0.0.0/8,', 'fd00::/129']) {
    t.throws(() => trackerConfig.parse({ btUdp: wrong }), /expected networks, such as 10.0.0.0/, wrong);
  }
});

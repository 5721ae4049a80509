import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { rendezvousOwner } from '../../lib/core/rendezvous.ts';
import type { Discovery } from '../../lib/discovery/discovery.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';
import { createTracker, type Tracker } from '../../tracker/tracker.ts';
import { type DiscoveryRig, discoveryContract } from '../contract/discovery.ts';
import { leasesContract } from '../contract/leases.ts';

const DEADLINE_MS = 15_000;
const deps = { log: silentLog(), clock: createSystemClock(), rng: createSystemRng() };
const anyPort = { host: '127.0.0.1', port: 0 };

function startTracker(port = 0): Promise<Tracker> {
  return createTracker(deps, {
    listen: { host: '127.0.0.1', port },
    httpListen: anyPort,
    processMetrics: false,
  });
}

const peerNamed = (name: string): PeerInfo => ({
  id: Buffer.from(name.padEnd(20, '.')).toString('hex'),
  role: 'node',
  host: '127.0.0.1',
  port: 4000,
  zone: '',
});

/** Tests the condition whenever any discovery tells anything, or a turn of the event loop has passed. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = deps.clock.now() + DEADLINE_MS;
  while (!condition()) {
    if (deps.clock.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

t.test('over a real tracker', async (t) => {
  const createRig = async (): Promise<DiscoveryRig> => {
    let tracker: Tracker | undefined = await startTracker();
    const { port } = tracker.controlAddress;
    return {
      connect: (peer) => createTrackerDiscovery(deps, { trackers: [`ws://127.0.0.1:${port}`], peer }),
      setReachable: async (reachable) => {
        await tracker?.close();
        tracker = reachable ? await startTracker(port) : undefined;
      },
      until,
      close: async () => tracker?.close(),
    };
  };
  discoveryContract(t, createRig);
  leasesContract(t, createRig);
});

t.test('a blob is leased by the tracker it belongs to, stepping aside by that of its registry', async (t) => {
  const trackers = [await recordingTracker(t), await recordingTracker(t)];
  const discovery = start(t, [trackers[0]!.url, trackers[1]!.url]);
  await until(() => trackers.every((tracker) => tracker.hellos() === 1), 'both are greeted');
  discovery.announce(layers(40));
  await until(() => trackers.every((tracker) => tracker.announced().length > 0), 'both are connected');
  const wishes = layers(40).map(({ digest }, index) => ({
    digest,
    upstream: `registry ${index % 10}`,
    stripes: [index],
    aside: index % 2 === 0,
  }));
  const answers = Promise.all(wishes.map((wish) => discovery.leases.ask(wish)));
  const asked = () =>
    trackers.flatMap(({ received }, at) =>
      received.flatMap((message) => (message.type === 'lease' ? [{ at, ...message }] : [])),
    );
  await until(() => asked().length === wishes.length, 'all have arrived');
  const owners = trackers.map((tracker, at) => ({ at, id: `${tracker.url}/control` }));
  for (const { aside, at, digest, upstream } of asked()) {
    t.equal(rendezvousOwner(aside === true ? upstream : digest, owners)?.at, at);
  }
  t.same(
    new Set(await answers),
    new Set([undefined]),
    'a tracker that does not know leases costs half a second',
  );
});

/** A tracker that only records, so that a test sees what a client sends, and says what it likes. */
async function recordingTracker(t: Test, options: { readonly silent?: boolean } = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  t.teardown(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });
  const received: ControlMessage[] = [];
  let hellos = 0;
  const state = { accepting: true };
  server.on('connection', (socket) => {
    if (!state.accepting) socket.terminate();
    socket.on('message', (data: Buffer) => {
      const message = decodeControl(data.toString());
      if (message === undefined) return;
      received.push(message);
      if (message.type === 'heartbeat' && options.silent !== true) socket.send(encodeControl(message));
      if (message.type !== 'hello') return;
      hellos++;
      const welcome = {
        protocol: 1,
        trackerId: 'ab'.repeat(20),
        clusterTimeMs: 0,
        epoch: 1,
        heartbeatMs: 100,
      };
      socket.send(encodeControl({ type: 'welcome', ...welcome }));
    });
  });
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    server,
    state,
    hellos: () => hellos,
    announced: () => received.flatMap((message) => (message.type === 'announce' ? message.blobs : [])),
    withdrawn: () => received.flatMap((message) => (message.type === 'withdraw' ? message.digests : [])),
  };
}

function start(t: Test, trackers: string[]): Discovery {
  const discovery = createTrackerDiscovery(deps, { trackers, peer: peerNamed('client') });
  t.teardown(() => discovery.close());
  return discovery;
}

const layers = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    digest: digestOf(Buffer.from(`layer ${i}`)),
    size: 1,
    have: 'some' as const,
  }));

t.test('blobs are divided over the trackers, moved when one dies and moved back', async (t) => {
  const [one, two] = [await recordingTracker(t), await recordingTracker(t)];
  const discovery = start(t, [one.url, two.url]);
  await until(() => one.hellos() === 1 && two.hellos() === 1, 'both are greeted');
  const blobs = layers(40);
  discovery.announce(blobs);
  await until(() => one.announced().length + two.announced().length === 40, 'all are announced');
  const owners = [one, two].map((tracker) => ({ tracker, id: `${tracker.url}/control` }));
  for (const { tracker } of owners) {
    t.equal(
      tracker.received.filter(({ type }) => type === 'announce').length,
      1,
      'one message for all layers',
    );
    for (const { digest } of tracker.announced()) t.equal(rendezvousOwner(digest, owners)?.tracker, tracker);
  }
  const ownedByTwo = two.announced().length;
  t.ok(ownedByTwo > 5 && ownedByTwo < 35, 'both have their part');
  two.state.accepting = false;
  for (const client of two.server.clients) client.terminate();
  await until(() => one.announced().length === 40, 'the other takes over');
  two.state.accepting = true;
  await until(
    () => two.hellos() === 2 && two.announced().length === 2 * ownedByTwo,
    'two learns its part again',
  );
  t.equal(discovery.reachable, true);
  await until(() => one.withdrawn().length === ownedByTwo, 'what had moved is withdrawn');
});

t.test('settings that one tracker tells are passed on to the others, once', async (t) => {
  const [one, two] = [await recordingTracker(t), await recordingTracker(t)];
  const discovery = start(t, [one.url, two.url]);
  await until(() => one.hellos() === 1 && two.hellos() === 1, 'both are greeted');
  const settings = { atMs: 5, paused: ['all'] };
  const tell = (): void => {
    for (const client of one.server.clients) client.send(encodeControl({ type: 'settings', ...settings }));
  };
  tell();
  await until(() => two.received.some(({ type }) => type === 'settings'), 'the other is told');
  t.same(discovery.settings, settings);
  tell();
  discovery.announce(layers(20));
  await until(() => one.announced().length + two.announced().length === 20, 'all before has arrived');
  const said = [one, two].map(({ received }) => received.filter(({ type }) => type === 'settings'));
  t.same(said, [[], [{ type: 'settings', ...settings }]]);
});

t.test('more blobs than fit in a message travel in several', async (t) => {
  const tracker = await recordingTracker(t);
  const discovery = start(t, [tracker.url]);
  discovery.announce(layers(2500));
  await until(() => tracker.announced().length === 2500, 'all are announced');
  discovery.withdraw(layers(2500).map(({ digest }) => digest));
  await until(() => tracker.withdrawn().length === 2500, 'all are withdrawn');
});

t.test('what is true of the moment is said once, and not repeated to the next tracker', async (t) => {
  const tracker = await recordingTracker(t);
  const discovery = start(t, [tracker.url]);
  await until(() => tracker.hellos() === 1, 'greeted');
  const [blob] = layers(1) as [ReturnType<typeof layers>[0]];
  discovery.announce([blob]);
  discovery.announce([{ ...blob, stalled: true }]);
  await until(() => tracker.announced().length === 1, 'announced');
  t.same(tracker.announced(), [{ ...blob, stalled: true }]);
  for (const client of tracker.server.clients) client.terminate();
  await until(() => tracker.announced().length === 2, 'announced again');
  t.same(tracker.announced().at(-1), blob);
});

t.test('a tracker that falls silent is left and dialled again', async (t) => {
  const tracker = await recordingTracker(t, { silent: true });
  const discovery = start(t, [tracker.url]);
  const reachable: boolean[] = [];
  discovery.listen({ neighbours() {}, reachable: (now) => void reachable.push(now) });
  await until(() => tracker.hellos() === 2, 'a second hello, since no heartbeat was answered');
  t.ok(tracker.received.some(({ type }) => type === 'heartbeat'));
  t.same(reachable.slice(0, 2), [true, false]);
});

t.test('a tracker that is not there, or never answers, costs nothing but patience', async (t) => {
  const mute = createServer();
  const unused = createServer();
  for (const server of [mute, unused]) await once(server.listen(0, '127.0.0.1'), 'listening');
  const urls = [mute, unused].map((server) => `ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.teardown(() => mute.close());
  unused.close();
  const discovery = start(t, urls);
  discovery.announce(layers(3));
  const [socket] = (await once(mute, 'connection')) as [Socket];
  t.equal(discovery.reachable, false);
  discovery.withdraw([layers(1)[0]!.digest]);
  const startedMs = deps.clock.now();
  await discovery.close();
  t.ok(deps.clock.now() - startedMs < 2000, 'close does not wait for the mute one');
  discovery.announce(layers(3));
  socket.destroy();
});

t.test('nonsense from a tracker, or from the listener, harms nobody', async (t) => {
  const tracker = await recordingTracker(t);
  const discovery = start(t, [tracker.url]);
  const [{ digest }] = layers(1) as [ReturnType<typeof layers>[0]];
  const told: string[] = [];
  discovery.listen({
    reachable: () => {
      throw new Error('a bug of the listener');
    },
    neighbours: (_, peers) => void told.push(...peers.map(({ id }) => id)),
  });
  discovery.announce([{ digest, size: 1, have: 'none' }]);
  await until(() => tracker.announced().length === 1, 'announced in spite of the bug');
  const unasked = digestOf(Buffer.from('unasked'));
  for (const client of tracker.server.clients) {
    client.send(encodeControl({ type: 'neighbours', blobs: [{ digest: unasked, peers: [peerNamed('x')] }] }));
    client.send(
      encodeControl({
        type: 'neighbours',
        blobs: [{ digest, peers: [peerNamed('y'), peerNamed('y')] }],
      }),
    );
    client.send('{"type":"from a later version"}');
    client.send('{"type":');
  }
  await until(() => tracker.hellos() === 2, 'the connection with the broken message is given up');
  t.same(told, [peerNamed('y').id, peerNamed('y').id], 'as told, but no peers for a blob it does not share');
});

t.test('a URL that cannot be a tracker is refused at the start', async (t) => {
  for (const trackers of [
    [],
    ['tracker.corp:8400'],
    ['ftp://tracker.corp'],
    Array.from({ length: 9 }, (_, i) => `ws://t${i}`),
  ]) {
    t.throws(() => createTrackerDiscovery(deps, { trackers, peer: peerNamed('client') }), {
      code: 'CONFIG_INVALID',
    });
  }
});

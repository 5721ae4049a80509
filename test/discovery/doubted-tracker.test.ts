import t, { type Test } from 'tap';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { rendezvousOwner } from '../../lib/core/rendezvous.ts';
import type { Discovery } from '../../lib/discovery/discovery.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { CONTROL_PATH } from '../../lib/wire/control-messages.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { startTcpRelay, type TcpRelay } from '../helpers/tcp-relay.ts';

const anyPort = { host: '127.0.0.1', port: 0 };
const TRACKERS = 3;
const DEADLINE_TURNS = 20_000;

interface Scene {
  readonly clock: FakeClock;
  readonly relays: readonly TcpRelay[];
  readonly discovery: Discovery;
  /** A blob of the tracker with that number, another one with each call. */
  readonly blobOf: (tracker: number) => Digest;
  readonly until: (condition: () => boolean, what: string) => Promise<void>;
}

/** A tracker behind a relay. */
async function relayedTracker(t: Test): Promise<TcpRelay> {
  const clock = new FakeClock();
  const deps = { log: silentLog(), clock, rng: createRng(1) };
  const tracker = await createTracker(deps, { listen: anyPort, httpListen: anyPort, processMetrics: false });
  t.teardown(() => end(clock, tracker));
  return await startTcpRelay(t, tracker.controlAddress.port);
}

/** A process that reaches each of three trackers through a relay. */
async function start(t: Test): Promise<Scene> {
  const clock = new FakeClock();
  const connected = new Set<string>();
  const log = silentLog();
  log.info = (...told: readonly unknown[]) => {
    const [facts, text] = told as [{ tracker?: string }, string];
    if (text === 'tracker connected') connected.add(facts.tracker ?? '');
  };
  const relays: TcpRelay[] = [];
  while (relays.length < TRACKERS) relays.push(await relayedTracker(t));
  const urls = relays.map(({ port }) => `ws://127.0.0.1:${port}${CONTROL_PATH}`);
  const id = Buffer.from('asks'.padEnd(20, '.')).toString('hex');
  const peer: PeerInfo = { id, role: 'node', host: '127.0.0.1', port: 4000, zone: '' };
  const discovery = createTrackerDiscovery({ log, clock, rng: createRng(9) }, { trackers: urls, peer });
  t.teardown(() => end(clock, discovery));
  const until = async (condition: () => boolean, what: string): Promise<void> => {
    for (let turn = 0; !condition(); turn++) {
      if (turn > DEADLINE_TURNS) throw new Error(`never happened: ${what}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  let blobs = 0;
  const blobOf = (tracker: number): Digest => {
    for (;;) {
      const digest = digestOf(Buffer.from(`layer ${blobs++}`));
      if (
        rendezvousOwner(
          digest,
          urls.map((url) => ({ id: url })),
        )?.id === urls[tracker]
      ) {
        return digest;
      }
    }
  };
  await until(() => connected.size === TRACKERS, 'all are connected');
  return { clock, relays, discovery, blobOf, until };
}

/** Ends what lives by that clock. */
async function end(clock: FakeClock, what: { close(): Promise<void> }): Promise<void> {
  let ended = false;
  const ending = what.close().finally(() => {
    ended = true;
  });
  while (!ended) {
    pass(clock, 1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ending;
}

/** Lets so many milliseconds pass, each timer in its turn. */
function pass(clock: FakeClock, ms: number): void {
  const until = clock.now() + ms;
  while (clock.advanceToNext(until));
}

/** The blob is announced; two seconds later trackers that say nothing are doubted, and within half a second more others asked. */
async function announceIntoSilence(
  { clock, discovery, relays, until }: Scene,
  digest: Digest,
): Promise<void> {
  const bytes = (): number[] => relays.map(({ upBytes }) => upBytes);
  let before = bytes();
  const grown = (which: readonly number[]) => () => which.every((at) => bytes()[at]! > before[at]!);
  discovery.announce([{ digest, size: 1, have: 'none' }]);
  pass(clock, 10);
  await until(grown([0]), 'it is announced');
  before = bytes();
  const answered = relays[2]!.downBytes;
  pass(clock, 1000);
  await until(grown([0, 1, 2]), 'all are asked whether they are there');
  await until(() => relays[2]!.downBytes > answered, 'one says so');
  await settle();
  t.ok(discovery.owes(digest));
  pass(clock, 1500);
  await until(() => !discovery.owes(digest), 'another tracker answers');
}

/** What has arrived is read. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
}

t.test(
  'what a silent tracker is asked the next one is asked within 2.5 s, were that one silent too',
  async (t) => {
    const scene = await start(t);
    const { blobOf, clock, discovery, relays, until } = scene;
    relays[0]!.swallow();
    relays[1]!.swallow();
    await announceIntoSilence(scene, blobOf(0));
    t.ok(discovery.reachable);
    const second = blobOf(1);
    discovery.announce([{ digest: second, size: 1, have: 'none' }]);
    pass(clock, 10);
    await until(() => !discovery.owes(second), 'it is known who is silent');
  },
);

t.test('leases too are asked of a tracker that answers', async (t) => {
  const scene = await start(t);
  const { blobOf, discovery, relays, until } = scene;
  relays[0]!.swallow();
  relays[1]!.swallow();
  await announceIntoSilence(scene, blobOf(0));
  let answer: unknown = 'open';
  const wish = { digest: blobOf(0), upstream: 'r', stripes: [0], aside: false };
  void discovery.leases.ask(wish).then((given) => {
    answer = given;
  });
  await until(() => answer !== 'open', 'an answer');
  t.match(answer, { kind: 'granted' });
});

t.test('with one silent tracker alone nothing is announced twice', async (t) => {
  const clock = new FakeClock();
  const relay = await relayedTracker(t);
  const id = Buffer.from('asks'.padEnd(20, '.')).toString('hex');
  const peer: PeerInfo = { id, role: 'node', host: '127.0.0.1', port: 4000, zone: '' };
  const trackers = [`ws://127.0.0.1:${relay.port}`];
  const discovery = createTrackerDiscovery(
    { log: silentLog(), clock, rng: createRng(9) },
    { trackers, peer },
  );
  t.teardown(() => end(clock, discovery));
  for (let turn = 0; !discovery.reachable; turn++) {
    if (turn > DEADLINE_TURNS) throw new Error('never welcomed');
    await new Promise((resolve) => setImmediate(resolve));
  }
  relay.swallow();
  discovery.announce([{ digest: digestOf(Buffer.from('layer')), size: 1, have: 'none' }]);
  pass(clock, 900);
  await settle();
  const asked = relay.upBytes;
  pass(clock, 3000);
  await settle();
  t.ok(discovery.reachable);
  // A heartbeat has some 30 bytes, an announcement several times as many.
  t.ok(relay.upBytes - asked < 80, `${relay.upBytes - asked} bytes more`);
});

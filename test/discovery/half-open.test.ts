import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import type { Discovery } from '../../lib/discovery/discovery.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { startTcpRelay, type TcpRelay } from '../helpers/tcp-relay.ts';

const anyPort = { host: '127.0.0.1', port: 0 };
const DEADLINE_TURNS = 20_000;

interface Half {
  /** Time of the process, and of the tracker. */
  readonly clock: FakeClock;
  readonly trackerClock: FakeClock;
  readonly relay: TcpRelay;
  readonly discovery: Discovery;
  readonly witness: Discovery;
  /** Lets the network do its work until the condition holds. */
  readonly until: (condition: () => boolean, what: string) => Promise<void>;
}

/** A process that reaches its tracker through a relay, and one that reaches it directly. */
async function start(t: Test, role: Role): Promise<Half> {
  const [clock, trackerClock] = [new FakeClock(), new FakeClock()];
  const log = silentLog();
  const tracker = await createTracker(
    { log, clock: trackerClock, rng: createRng(1) },
    { listen: anyPort, httpListen: anyPort, processMetrics: false },
  );
  const relay = await startTcpRelay(t, tracker.controlAddress.port);
  const join = (name: string, port: number, itsRole: Role, itsClock: FakeClock): Discovery => {
    const id = Buffer.from(name.padEnd(20, '.')).toString('hex');
    const peer: PeerInfo = { id, role: itsRole, host: '127.0.0.1', port: 4000, zone: '' };
    const deps = { log, clock: itsClock, rng: createRng(2) };
    return createTrackerDiscovery(deps, { trackers: [`ws://127.0.0.1:${port}`], peer });
  };
  const discovery = join('behind', relay.port, role, clock);
  const witness = join('witness', tracker.controlAddress.port, 'node', new FakeClock());
  t.teardown(async () => {
    for (const each of [clock, trackerClock]) for (let i = 0; i < 100; i++) each.advanceToNext();
    const closing = Promise.all([discovery.close(), witness.close(), tracker.close()]);
    let closed = false;
    void closing.finally(() => {
      closed = true;
    });
    while (!closed) {
      for (const each of [clock, trackerClock]) each.advanceToNext(each.now() + 1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  const until = async (condition: () => boolean, what: string): Promise<void> => {
    for (let turn = 0; !condition(); turn++) {
      if (turn > DEADLINE_TURNS) throw new Error(`never happened: ${what}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await until(() => discovery.reachable && witness.reachable, 'both are welcomed');
  return { clock, trackerClock, relay, discovery, witness, until };
}

/** Lets so many milliseconds pass for one clock, each timer in its turn. */
function pass(clock: FakeClock, ms: number): void {
  const until = clock.now() + ms;
  while (clock.advanceToNext(until));
}

t.test('a connection that swallows a question is left within 5 s, and dialled again', async (t) => {
  const { clock, relay, discovery, until } = await start(t, 'node');
  relay.swallow();
  const before = relay.upBytes;
  discovery.announce([{ digest: digestOf(Buffer.from('layer')), size: 1, have: 'none' }]);
  pass(clock, 0);
  await until(() => relay.upBytes > before, 'the question is on its way');
  const asked = relay.upBytes;
  pass(clock, 1000);
  await until(() => relay.upBytes > asked, 'it asks whether the tracker is there');
  t.ok(discovery.reachable, 'a second of silence is nothing');
  pass(clock, 4000);
  await until(() => !discovery.reachable, 'the connection is given up');
  pass(clock, 1000);
  await until(() => discovery.reachable, 'the next one works');
});

t.test('an answer, however late in its second, is all it takes to stay', async (t) => {
  const { clock, discovery, until } = await start(t, 'node');
  const digest = digestOf(Buffer.from('layer'));
  for (let round = 0; round < 5; round++) {
    discovery.announce([{ digest, size: 1, have: 'some' }]);
    pass(clock, 10);
    await until(() => !discovery.owes(digest), 'the answer');
    pass(clock, 4990);
  }
  t.ok(discovery.reachable);
});

t.test('a supernode behind a dead line counts as gone within about 3 s', async (t) => {
  const { relay, trackerClock, witness, until } = await start(t, 'supernode');
  const digest = digestOf(Buffer.from('layer'));
  await until(() => {
    pass(trackerClock, 10);
    return witness.owner(digest) !== undefined;
  }, 'it is told');
  relay.swallow();
  const sinceMs = trackerClock.now();
  await until(() => {
    pass(trackerClock, 10);
    return witness.owner(digest) === undefined;
  }, 'nobody owns it any more');
  t.ok(trackerClock.now() - sinceMs < 4500, `${trackerClock.now() - sinceMs} ms`);
});

import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import type { DiscoveryListener } from '../../lib/discovery/discovery.ts';
import {
  createFallbackDiscovery,
  type FallbackDiscoveryOptions,
} from '../../lib/discovery/fallback-discovery.ts';
import type { DhtDiscovery } from '../../lib/discovery/libp2p/dht-discovery.ts';
import { MemoryTracker } from '../../lib/discovery/memory-discovery.ts';
import { createNoDiscovery } from '../../lib/discovery/no-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { turnsAmong } from '../../lib/swarm/sites.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { discoveryContract } from '../contract/discovery.ts';

const MAX_STEPS = 20_000;
const layer = digestOf(Buffer.from('layer'));
const peerNamed = (name: string, role: Role = 'node'): PeerInfo => ({
  id: Buffer.from(name.padEnd(20, '.')).toString('hex'),
  role,
  host: '127.0.0.1',
  port: 4000,
  zone: '',
});

/** Trackers and a DHT, each one more way to the same processes; the DHT is played by a second tracker in memory. */
function createGround() {
  const clock = new FakeClock();
  const rng = createRng(7);
  const place = (): MemoryTracker =>
    new MemoryTracker({ clock, createChooser: () => new TrackerCore({}, rng) }, { latencyMs: 5 });
  const [tracker, dht] = [place(), place()];
  const connect = (
    peer: PeerInfo,
    options: Partial<FallbackDiscoveryOptions> & { remembered?: readonly PeerInfo[] } = {},
  ) => {
    const { remembered = [], ...given } = options;
    const counted = {
      ...{ joined: 0, open: false, noted: new Set<string>(), answers: [] as string[] },
      presume: (): readonly PeerInfo[] => [],
    };
    const presumed = (): string[] => counted.presume().map(({ id }) => nameOf(id));
    const openDht = (presume: () => readonly PeerInfo[]): DhtDiscovery => {
      counted.joined++;
      counted.presume = presume;
      return Object.assign(dht.connect(peer), { door: async () => ({ member: 'm', port: 1 }) });
    };
    const discovery = createFallbackDiscovery(
      {
        ...{ clock, log: silentLog(), openDht, rng },
        trackers: given.dhtOnly === true ? createNoDiscovery() : tracker.connect(peer),
        remembered: {
          all: remembered,
          note: (peers) => peers.forEach(({ id }) => counted.noted.add(id)),
        },
        metrics: {
          answered: (from) => void counted.answers.push(from),
          dht: (open) => {
            counted.open = open;
          },
        },
      },
      { peer, turns: turnsAmong(peer), ...given },
    );
    const told: string[] = [];
    const reachable: boolean[] = [];
    const listener: DiscoveryListener = {
      neighbours: (_, peers, owned) =>
        void told.push(`${peers.map(({ id }) => nameOf(id)).join()}${owned ? ' owned' : ''}`),
      reachable: (now) => void reachable.push(now),
    };
    discovery.listen(listener);
    return { discovery, counted, told, reachable, presumed };
  };
  const run = (ms: number): void => {
    const untilMs = clock.now() + ms;
    while (clock.advanceToNext(untilMs));
  };
  return { clock, connect, dht, run, tracker };
}

const nameOf = (id: string): string => Buffer.from(id, 'hex').toString().replaceAll('.', '');

for (const dhtOnly of [false, true]) {
  t.test(dhtOnly ? 'the contract, on the DHT alone' : 'the contract, on trackers', async (t) => {
    discoveryContract(t, async () => {
      const { clock, connect, dht, tracker } = createGround();
      const used = dhtOnly ? dht : tracker;
      (dhtOnly ? tracker : dht).reachable = false;
      return {
        introduces: !dhtOnly,
        connect: (peer) => connect(peer, { dhtOnly }).discovery,
        setReachable: async (reachable) => {
          used.reachable = reachable;
        },
        until: async (condition, what) => {
          for (let step = 0; !condition(); step++) {
            if (step > MAX_STEPS || !clock.advanceToNext()) throw new Error(`never happened: ${what}`);
          }
        },
        close: async () => {},
      };
    });
  });
}

t.test('a tracker that restarts sends nobody into the DHT', async (t) => {
  const { connect, run, tracker } = createGround();
  const { counted, reachable } = connect(peerNamed('node'));
  run(100);
  tracker.reachable = false;
  run(1000);
  tracker.reachable = true;
  run(60_000);
  t.equal(counted.joined, 0);
  t.same(reachable, [true, false, true]);
});

t.test('without trackers: remembered peers at once, then the DHT, and back in time', async (t) => {
  const { connect, run, tracker } = createGround();
  const supernode = peerNamed('super', 'supernode');
  const seed = connect(supernode);
  const remembered = [peerNamed('old'), peerNamed('super', 'supernode')];
  const other = connect(peerNamed('other'));
  const node = connect(peerNamed('node'), { remembered });
  const idle = connect(peerNamed('idle'), { remembered });
  run(100);
  tracker.reachable = false;
  other.discovery.announce([{ digest: layer, size: 1000, have: 'some' }]);
  run(100);
  node.discovery.announce([{ digest: layer, size: 1000, have: 'none' }]);
  run(10);
  t.same(node.told, ['super,old owned'], 'remembered ones are named without anybody having been asked');
  t.equal(node.discovery.owner(layer)?.id, supernode.id);
  run(3000);
  t.equal(node.discovery.by, 'remembered');
  t.same(
    [seed, other, node].map(({ counted }) => counted.joined),
    [1, 1, 0],
    'who remembers peers gets by with them',
  );
  run(30_000);
  t.same([node.counted.joined, idle.counted.joined], [0, 1], 'for a while, and longer while it pulls');
  run(60_000);
  t.equal(node.counted.joined, 1);
  t.ok(
    node.told.some((names) => names.includes('other')),
    'the DHT names the other one',
  );
  t.ok(node.discovery.reachable);
  t.equal(node.counted.answers.at(-1), 'dht');
  tracker.reachable = true;
  run(1000);
  node.discovery.announce([{ digest: layer, size: 1000, have: 'some' }]);
  run(100);
  t.equal(node.counted.answers.at(-1), 'tracker', 'trackers answer as before');
  t.ok(node.counted.open, 'others may need the DHT still');
  run(6 * 60_000);
  t.notOk(node.counted.open, 'and then it is left');
  t.ok(node.counted.noted.has(supernode.id), 'who was named is remembered');
  t.same(node.reachable, [true, false, true]);
});

t.test(
  'who gets nowhere with remembered peers joins the DHT at once, and trackers that come back call it off',
  async (t) => {
    const { connect, run, tracker } = createGround();
    const [stalled, patient] = ['a', 'b'].map((name) =>
      connect(peerNamed(name), { remembered: [peerNamed('old')] }),
    );
    run(100);
    tracker.reachable = false;
    run(3000);
    t.same([stalled!.counted.joined, patient!.counted.joined], [0, 0]);
    stalled!.discovery.announce([{ digest: layer, size: 1000, have: 'some', stalled: true }]);
    run(10);
    t.same([stalled!.counted.joined, patient!.counted.joined], [1, 0]);
    tracker.reachable = true;
    run(60_000);
    t.equal(patient!.counted.joined, 0);
  },
);

t.test('without trackers supernodes deal the turns among those that trackers told of', async (t) => {
  const { connect, dht, run, tracker } = createGround();
  const [one, two] = ['super1', 'super2'].map((name) => connect(peerNamed(name, 'supernode')));
  run(100);
  dht.reachable = false;
  tracker.reachable = false;
  for (const { discovery } of [one!, two!]) {
    discovery.announce([{ digest: layer, size: 1024 ** 3, have: 'none' }]);
  }
  run(10);
  t.equal(one!.told.length, 1);
  t.match(one!.told[0], /super1.*super2.* owned|super2.*super1.* owned/);
  t.same(one!.told, two!.told, 'both the same');
});

t.test('until the DHT has had time to meet them, supernodes that trackers told of live', async (t) => {
  const { connect, dht, run, tracker } = createGround();
  for (const name of ['super1', 'super2']) connect(peerNamed(name, 'supernode'));
  const node = connect(peerNamed('node'));
  run(100);
  dht.reachable = false;
  tracker.reachable = false;
  run(60_000);
  t.same(node.presumed().sort(), ['super1', 'super2'], 'as long as the DHT knows nobody');
  dht.reachable = true;
  run(3000);
  t.same(node.presumed().sort(), ['super1', 'super2'], 'and while it meets the first ones');
  run(3000);
  t.same(node.presumed(), [], 'then the DHT knows who lives');
});

t.test('while the DHT is being joined an answer is owed, for a while', async (t) => {
  const { connect, dht, run, tracker } = createGround();
  tracker.reachable = false;
  dht.reachable = false;
  const node = connect(peerNamed('node'), { dhtOnly: true });
  node.discovery.announce([{ digest: layer, size: 1000, have: 'none' }]);
  t.ok(node.discovery.owes(layer));
  t.notOk(node.discovery.owes(digestOf(Buffer.from('another'))));
  run(2500);
  t.notOk(node.discovery.owes(layer), 'nobody is there');
  dht.reachable = true;
  run(100);
  t.same(node.told, [''], 'the DHT answers that nobody shares it');
});

t.test('trackers that are connected and say nothing are gone around, until they speak', async (t) => {
  const { connect, run, tracker } = createGround();
  const other = connect(peerNamed('other'));
  const node = connect(peerNamed('node'));
  run(100);
  // From now on nothing that is said arrives in time.
  tracker.latencyMs = 20_000;
  for (const { discovery } of [other, node]) {
    discovery.announce([{ digest: layer, size: 1000, have: 'none' }]);
  }
  run(5000);
  t.equal(node.counted.joined, 1);
  t.ok(
    node.told.some((names) => names.includes('other')),
    'found by the DHT',
  );
  t.same(node.reachable, [true], 'all the while somebody answers');
  tracker.latencyMs = 5;
  run(60_000);
  node.discovery.announce([{ digest: layer, size: 1000, have: 'some' }]);
  run(100);
  t.equal(node.counted.answers.at(-1), 'tracker', 'they have spoken');
});

t.test('somebody else needs the DHT', async (t) => {
  const { connect, run } = createGround();
  const node = connect(peerNamed('node'));
  run(100);
  const { discovery } = node;
  t.same(await discovery.door(), { member: 'm', port: 1 });
  t.equal(node.counted.joined, 1);
  run(4 * 60_000);
  await discovery.door();
  run(4 * 60_000);
  t.ok(node.counted.open, 'asked again, it stays');
  run(2 * 60_000);
  t.notOk(node.counted.open);
  await discovery.door();
  t.equal(node.counted.joined, 2);
});

t.test('what trackers set the DHT hears, and the other way round', async (t) => {
  const { connect, dht, run, tracker } = createGround();
  const node = connect(peerNamed('node'));
  await node.discovery.door();
  run(100);
  const byTracker = tracker.connect(peerNamed('a'));
  const byDht = dht.connect(peerNamed('b'));
  run(100);
  const [first, second] = [
    { atMs: 1, paused: ['all'] },
    { atMs: 2, paused: [] },
  ];
  byTracker.shareSettings(first);
  run(100);
  t.same(byDht.settings, first);
  byDht.shareSettings(second);
  run(100);
  t.same([byTracker.settings, node.discovery.settings], [second, second]);
});

import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { MemoryTracker } from '../../lib/discovery/memory-discovery.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { type DiscoveryRig, discoveryContract } from '../contract/discovery.ts';
import { leasesContract } from '../contract/leases.ts';

const MAX_STEPS = 10_000;

function setUp() {
  const clock = new FakeClock();
  const rng = createRng(7);
  return {
    clock,
    tracker: new MemoryTracker({ clock, createChooser: () => new TrackerCore({}, rng) }, { latencyMs: 5 }),
  };
}

const createRig = async (): Promise<DiscoveryRig> => {
  const { clock, tracker } = setUp();
  return {
    connect: (peer) => tracker.connect(peer),
    setReachable: async (reachable) => {
      tracker.reachable = reachable;
    },
    until: async (condition, what) => {
      for (let step = 0; !condition(); step++) {
        if (step > MAX_STEPS || !clock.advanceToNext()) throw new Error(`never happened: ${what}`);
        // Who waits for a promise is heard too.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    close: async () => {},
  };
};

discoveryContract(t, createRig);
leasesContract(t, createRig);

t.test('a message takes its latency each way, and the same story ends the same', async (t) => {
  const story = (): string[] => {
    const { clock, tracker } = setUp();
    const seen: string[] = [];
    const digest = digestOf(Buffer.from('layer'));
    for (let i = 0; i < 40; i++) {
      const peer: PeerInfo = {
        id: i.toString(16).padStart(40, '0'),
        role: i === 0 ? 'supernode' : 'node',
        host: 'h',
        port: 1,
        zone: '',
      };
      const discovery = tracker.connect(peer);
      discovery.listen({
        reachable: (now) => void seen.push(`${clock.now()} ${i} reachable ${now}`),
        neighbours: (_, peers) =>
          void seen.push(`${clock.now()} ${i} ${peers.map(({ id }) => id.slice(-2)).join()}`),
      });
      discovery.announce([{ digest, size: 1, have: 'none' }]);
    }
    while (clock.advanceToNext());
    return seen;
  };
  const seen = story();
  t.equal(seen[0], '10 0 reachable true', 'hello and welcome');
  t.equal(seen.find((line) => !line.includes('reachable'))?.split(' ')[0], '20', 'announce and answer');
  t.same(story(), seen);
});

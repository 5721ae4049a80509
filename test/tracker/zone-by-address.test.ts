import { once } from 'node:events';
import t from 'tap';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { anyPort, layer, peerNamed, systemClock } from './control-rig.ts';

t.test('a tracker knows the zone of members that name none by their addresses, and tells them', async (t) => {
  const deps = { log: silentLog(), clock: systemClock, rng: createRng(1) };
  const tracker = await createTracker(deps, {
    ...{ listen: anyPort, httpListen: anyPort, processMetrics: false },
    zoneCidr: [
      { networks: '10.0.0.0/8', zone: 'us' },
      { networks: '127.0.0.0/8', zone: 'eu/fra' },
    ],
  });
  t.teardown(() => tracker.close());
  const trackers = [`ws://127.0.0.1:${tracker.controlAddress.port}`];
  const placed: string[] = [];
  const join = (name: string, zone: string) => {
    const own = { ...deps, placed: (told: string) => void placed.push(told) };
    const discovery = createTrackerDiscovery(own, { trackers, peer: { ...peerNamed(name), zone } });
    t.teardown(() => discovery.close());
    return discovery;
  };
  const emitter = new EventTarget();
  const found: string[] = [];
  const listener = {
    neighbours: (_: unknown, peers: readonly { readonly zone: string }[]) => {
      found.push(...peers.map(({ zone }) => zone));
      if (found.length > 0) emitter.dispatchEvent(new Event('found'));
    },
    reachable: () => {},
  };
  const told = once(emitter, 'found', { signal: AbortSignal.timeout(10_000) });
  for (const [name, zone] of [
    ['silent', ''],
    ['named', 'eu/ams'],
  ] as const) {
    const discovery = join(name, zone);
    discovery.listen(listener);
    discovery.announce([{ digest: layer(1), size: 1000, have: 'none' }]);
  }
  await told;
  t.same(placed, ['eu/fra'], 'only who named no zone is told');
  t.ok(['eu/fra', 'eu/ams'].includes(found[0] ?? ''), found.join(' '));
});

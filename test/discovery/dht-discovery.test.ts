import t from 'tap';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import type { Discovery } from '../../lib/discovery/discovery.ts';
import { clusterKeys } from '../../lib/discovery/libp2p/cluster-keys.ts';
import type { Dht } from '../../lib/discovery/libp2p/dht.ts';
import { createDhtDiscovery } from '../../lib/discovery/libp2p/dht-discovery.ts';
import { openLibp2pDht } from '../../lib/discovery/libp2p/libp2p-dht.ts';
import { createLog, silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { turnsAmong } from '../../lib/swarm/sites.ts';
import { discoveryContract } from '../contract/discovery.ts';
import { createCable } from './cable.ts';

const DEADLINE_MS = 30_000;
const log = process.env['DHT_LOG'] === undefined ? silentLog() : createLog('test', 'debug');
const deps = { log, clock: createSystemClock(), rng: createSystemRng() };
const keys = clusterKeys('a key');

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = deps.clock.now() + DEADLINE_MS;
  while (!condition()) {
    if (deps.clock.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Processes on one network whose seed is the first of them. */
function createNetwork() {
  const cable = createCable();
  const doors = new Map<number, Promise<Dht>>();
  const connect = (peer: PeerInfo): Discovery => {
    const seeds = [...doors.keys()].slice(0, 1).map((port) => ({ host: '127.0.0.1', port }));
    const opened = Promise.withResolvers<Dht>();
    doors.set(peer.port, opened.promise);
    return createDhtDiscovery(
      {
        ...deps,
        keys,
        seeds: () => seeds,
        locate: async ({ port }) => {
          const door = doors.get(port);
          if (door === undefined) throw new DamselflyError('PEER_UNREACHABLE', 'nobody is there');
          return (await door).door;
        },
        open: async (listener) => {
          const options = {
            ...{ keys, listen: { host: '127.0.0.1', port: 0 }, lan: false, maxConnections: 100 },
            transport: cable.transport,
          };
          opened.resolve(await openLibp2pDht(deps, options, listener));
          return opened.promise;
        },
      },
      { peer, turns: turnsAmong(peer) },
    );
  };
  return { cable, connect };
}

t.setTimeout(300_000);

t.test('over libp2p', { timeout: 280_000 }, async (t) => {
  discoveryContract(t, async () => {
    const { cable, connect } = createNetwork();
    const first = connect({ id: 'f0'.repeat(20), role: 'node', host: '127.0.0.1', port: 19_999, zone: '' });
    return {
      introduces: false,
      connect,
      setReachable: async (reachable) => {
        cable.cut = !reachable;
      },
      until,
      close: () => first.close(),
    };
  });
});

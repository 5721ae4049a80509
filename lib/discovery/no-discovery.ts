import type { Discovery } from './discovery.ts';
import { NO_LEASES } from './leases.ts';

/** For a process without a tracker: nobody to find; it serves whoever dials it, and reads from the registry. */
export function createNoDiscovery(): Discovery {
  return {
    announce() {},
    withdraw() {},
    unreached() {},
    reached() {},
    listen() {},
    owner: () => undefined,
    supernodes: [],
    reachable: false,
    owes: () => false,
    leases: NO_LEASES,
    settings: undefined,
    shareSettings() {},
    listenSettings() {},
    close: async () => {},
  };
}

import type { Clock } from '../../lib/runtime/clock.ts';
import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import type { PeerStore } from './peer-store.ts';

/** One tracker by itself: its core is all there is, and members tell every tracker what belongs to it. */
export function createMemoryPeerStore(core: TrackerCore, clock: Clock): PeerStore {
  return {
    start: () => {},
    announced: () => {},
    withdrawn: () => {},
    left: () => {},
    lease: async (id, wish) => core.lease(id, wish, clock.now()),
    renewLease: async (id, token) => core.renewLease(id, token, clock.now()),
    releaseLease: (id, token, read) => core.releaseLease(id, token, read, clock.now()),
    tellSettings: () => {},
    reachedAt: () => () => {},
    notes: [],
    close: async () => {},
  };
}

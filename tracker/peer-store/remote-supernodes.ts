import type { PeerInfo } from '../../lib/core/node.ts';
import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';

/** Supernodes that are connected to other trackers alone, in the core of this one. */
export class RemoteSupernodes {
  readonly #core: TrackerCore;
  readonly #isConnected: (id: string) => boolean;
  readonly #ids = new Set<string>();

  constructor(core: TrackerCore, isConnected: (id: string) => boolean) {
    this.#core = core;
    this.#isConnected = isConnected;
  }

  /** Other trackers have these now. @returns whether that is news */
  set(told: readonly PeerInfo[], now: number): boolean {
    const { epoch } = this.#core;
    const supernodes = new Map<string, PeerInfo>();
    for (const each of told) {
      if (each.role === 'supernode' && !this.#isConnected(each.id)) supernodes.set(each.id, each);
    }
    for (const info of supernodes.values()) {
      this.#ids.add(info.id);
      this.#core.join(info, now);
    }
    for (const id of this.#ids) {
      if (supernodes.has(id)) continue;
      this.#ids.delete(id);
      if (!this.#isConnected(id)) this.#core.leave(id, now);
    }
    return this.#core.epoch !== epoch;
  }
}

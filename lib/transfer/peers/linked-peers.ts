import type { PeerInfo } from '../../core/node.ts';
import type { PeerCore } from '../../swarm/peer-core.ts';
import type { Hello, Slots } from '../../wire/peer-messages.ts';
import type { Decisions } from '../decisions.ts';
import type { Neighbour } from './neighbour.ts';

/** The neighbours of a node, as its PeerCore knows them by numbers, and what they are told of its slots. */
export class LinkedPeers {
  readonly #self: () => Pick<PeerInfo, 'zone'>;
  readonly #decisions: Decisions<PeerCore>;
  readonly #bySlot: (Neighbour | undefined)[] = [];

  constructor(self: () => Pick<PeerInfo, 'zone'>, decisions: Decisions<PeerCore>) {
    this.#self = self;
    this.#decisions = decisions;
  }

  /** The neighbour of that number in the core. */
  at(slot: number): Neighbour | undefined {
    return this.#bySlot[slot];
  }

  /** It is linked. */
  up(neighbour: Neighbour, { slots }: Hello): void {
    const { role, zone } = neighbour.peer;
    const sameZone = zone === this.#self().zone;
    neighbour.slot = this.#decisions.decide((core, now) => core.addPeer(role, sameZone, now));
    this.#bySlot[neighbour.slot] = neighbour;
    this.#decisions.decide((core, now) =>
      core.peerSlots(neighbour.slot, slots.up, slots.down, undefined, now),
    );
    if (neighbour.distrusted) this.#decisions.decide((core, now) => core.distrust(neighbour.slot, now));
    this.sendSlots(neighbour, false);
  }

  /** Its link is gone. @param cut uploads to it that ended so */
  down(neighbour: Neighbour, cut: number): void {
    this.#decisions.decide((core, now) => {
      for (let upload = 0; upload < cut; upload++) core.uploaded(neighbour.slot, now);
      core.removePeer(neighbour.slot, now);
    });
    this.#bySlot[neighbour.slot] = undefined;
  }

  /** Ours, as far as this neighbour may have them: what every message to it tells. */
  slots(neighbour: Neighbour): Slots {
    const { core } = this.#decisions;
    return { up: core.freeUploadsFor(neighbour.slot), down: core.freeDownloads };
  }

  sendSlots(neighbour: Neighbour | undefined, hungry: boolean): void {
    neighbour?.send({ type: 'slots', slots: this.slots(neighbour), hungry });
  }
}

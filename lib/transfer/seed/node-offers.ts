import { isWithin } from '../../core/zones.ts';
import { Action, type ActionBuffer } from '../../swarm/actions.ts';
import { Far } from '../../swarm/seed-blob.ts';
import type { SeedCore } from '../../swarm/seed-core.ts';
import type { Hello, Slots } from '../../wire/peer-messages.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { Decisions } from '../decisions.ts';
import type { EngineDeps } from '../engine-deps.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { ProofTeller } from '../proofs/proof-teller.ts';
import { ZoneNumbers } from '../zone-numbers.ts';

export interface NodeOffersHost {
  readonly decisions: Decisions<SeedCore>;
  readonly proofs: ProofTeller;
  /** The blob of this number in the core. */
  readonly blobAt: (slot: number) => SharedBlob | undefined;
}

/** The nodes that are linked to a supernode, as its SeedCore knows them by numbers, and what that has them offered. */
export class NodeOffers {
  readonly #deps: Pick<EngineDeps, 'self' | 'grants'>;
  readonly #host: NodeOffersHost;
  readonly #bySlot: (Neighbour | undefined)[] = [];
  readonly #zones = new ZoneNumbers();

  constructor(deps: Pick<EngineDeps, 'self' | 'grants'>, host: NodeOffersHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** The node is linked. */
  up(node: Neighbour, { slots }: Hello): void {
    const { decisions } = this.#host;
    const { zone } = node.peer;
    const { zone: own } = this.#deps.self();
    const far = zone === own ? Far.own : isWithin(zone, own) ? Far.within : Far.outside;
    node.slot = decisions.core.addPeer(this.#zones.numberOf(zone, own), far);
    this.#bySlot[node.slot] = node;
    decisions.decide((core, now) => core.peerSlots(node.slot, slots.up, slots.down, undefined, now));
  }

  /** Its link is gone. */
  down(node: Neighbour): void {
    this.#bySlot[node.slot] = undefined;
    this.#host.decisions.decide((core, now) => core.removePeer(node.slot, now));
  }

  /** Ours, as every message to a node tells them. */
  slots(): Slots {
    return { up: this.#host.decisions.core.freeSlots, down: 0 };
  }

  carryOut(actions: ActionBuffer, at: number): void {
    const { blobAt, decisions, proofs } = this.#host;
    const node = this.#bySlot[actions.peer[at] ?? -1];
    const blob = blobAt(actions.blob[at] ?? -1);
    if (actions.kind[at] !== Action.offer || node === undefined || blob === undefined) return;
    const piece = actions.piece[at] ?? -1;
    if (this.#deps.grants?.allows(node.peer, blob.digest) === false) {
      // It would keep a slot for what the node does not get.
      decisions.decide((core, now) => core.declined(node.slot, blob.slot, piece, now));
      return;
    }
    const [proof] = proofs.prepare(node, blob, [piece]);
    if (proof !== undefined) node.send({ type: 'offer', handle: blob.handle, proof, slots: this.slots() });
  }
}

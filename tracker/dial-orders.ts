import type { PeerInfo } from '../lib/core/node.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { encodeControl } from '../lib/wire/control-codec.ts';
import type { BlobNeighbours } from '../lib/wire/control-messages.ts';
import { DialBudget } from './dial-budget.ts';
import { Undialled } from './undialled.ts';

export interface DialOrdersHost {
  /** Whether the member has a connection to this tracker. */
  isConnected(id: string): boolean;
  member(id: string): PeerInfo | undefined;
  sendTo(id: string, text: string): void;
}

/** Has members that others cannot dial do the dialling. */
export class DialOrders {
  readonly #clock: Clock;
  readonly #host: DialOrdersHost;
  readonly #undialled = new Undialled();
  readonly #budget = new DialBudget();

  constructor(clock: Clock, host: DialOrdersHost) {
    this.#clock = clock;
    this.#host = host;
  }

  /** The member cannot dial these: they dial it, as from now on whomever they are named to. */
  unreached(id: string, ids: readonly string[]): void {
    for (const peer of ids) {
      if (!this.#host.isConnected(peer)) continue;
      if (!this.#order(peer, id)) return;
      this.#undialled.note(peer, id, this.#clock.now());
    }
  }

  /** The member has dialled these, after it had said that it could not. */
  reached(id: string, ids: readonly string[]): void {
    for (const peer of ids) this.#undialled.noteDialled(peer, id);
  }

  /** The member is about to be told of these: those that cannot be dialled dial it. */
  named(id: string, blobs: readonly BlobNeighbours[]): void {
    const now = this.#clock.now();
    const undialled = new Set<string>();
    for (const { peers } of blobs) {
      for (const peer of peers) if (this.#undialled.has(peer.id, now)) undialled.add(peer.id);
    }
    for (const peer of undialled) this.#order(peer, id);
  }

  /** @returns false when enough are dialling the member */
  #order(by: string, id: string): boolean {
    const peer = this.#host.member(id);
    if (peer === undefined || !this.#host.isConnected(by)) return true;
    const mayMore = this.#budget.take(id, this.#clock.now());
    if (mayMore) this.#host.sendTo(by, encodeControl({ type: 'dial', peers: [peer] }));
    return mayMore;
  }
}

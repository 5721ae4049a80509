import { Action, type ActionBuffer } from './actions.ts';
import type { Neighbours } from './neighbours.ts';

/**
 * The upload slots of one node. Nobody queues for a piece: who comes too late is refused, and told when a slot is free,
 * one waiting peer for each slot, in the order in which they began to wait.
 */
export class UploadSlots {
  readonly #slots: number;
  readonly #peers: Neighbours;
  readonly #actions: ActionBuffer;
  readonly #waiting: number[] = [];
  #active = 0;

  /** Takes `slots` actions to `actions`; counts uploads in `peers`. */
  constructor(slots: number, peers: Neighbours, actions: ActionBuffer) {
    this.#slots = slots;
    this.#peers = peers;
    this.#actions = actions;
  }

  get free(): number {
    return this.#slots - this.#active;
  }

  /** @returns whether there was a free slot; if not, the peer now waits for one */
  take(peer: number): boolean {
    if (this.free === 0) {
      this.wait(peer);
      return false;
    }
    this.#stopWaiting(peer);
    this.#active++;
    this.#peers.uploads[peer]!++;
    return true;
  }

  wait(peer: number): void {
    if (!this.#waiting.includes(peer)) this.#waiting.push(peer);
    // It waits on wrong news: the slot is there already.
    if (this.free >= this.#waiting.length) this.#tellNext();
  }

  /** One upload to the peer ended. */
  release(peer: number): void {
    if (!this.#peers.known(peer) || this.#peers.uploads[peer] === 0) return;
    this.#peers.uploads[peer]!--;
    this.#active--;
    // Without anybody waiting, who just left is the one to know that its slot is free again.
    if (!this.#tellNext()) this.#actions.push(Action.slots, peer, -1, -1, -1);
  }

  /** The peer is gone, and its uploads with it. */
  forget(peer: number): void {
    this.#stopWaiting(peer);
    for (let left = this.#peers.uploads[peer]!; left > 0; left--) {
      this.#active--;
      this.#tellNext();
    }
    this.#peers.uploads[peer] = 0;
  }

  /** Tells as many waiting peers as there are free slots: those told before may have had no use for them. */
  remind(): void {
    for (let left = this.free; left > 0 && this.#tellNext(); left--);
  }

  #tellNext(): boolean {
    const next = this.#waiting.shift();
    if (next === undefined) return false;
    this.#actions.push(Action.slots, next, -1, -1, -1);
    return true;
  }

  #stopWaiting(peer: number): void {
    const at = this.#waiting.indexOf(peer);
    if (at >= 0) this.#waiting.splice(at, 1);
  }
}

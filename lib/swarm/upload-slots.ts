import { Action, type ActionBuffer } from './actions.ts';
import type { Neighbour, Neighbours } from './neighbours.ts';

/** What decides who may have a slot. */
export interface UploadPolicy {
  readonly slots: number;
  /** How long a slot is kept for one peer that neither uses it nor says that it will not. Milliseconds. */
  readonly keepMs: number;
  /** Whether we hold anything that the peer lacks. */
  useful(peer: number): boolean;
}

/**
 * The upload slots of one node. Nobody queues for a piece: who comes too late is refused, and told when there is a slot
 * for it. A slot that becomes free is kept for one peer at a time, until that peer takes it or tells its own slots
 * instead (it has no use for it): first for the peer whose upload ended, so that it can go on at once, then for those
 * that wait, in the order in which they began to. Were it free for all, all would come and all but one be refused.
 */
export class UploadSlots {
  readonly #policy: UploadPolicy;
  readonly #peers: Neighbours;
  readonly #actions: ActionBuffer;
  readonly #waiting: number[] = [];
  #active = 0;
  #kept = 0;

  /** Adds `slots` actions to `actions`; counts uploads in `peers`. */
  constructor(policy: UploadPolicy, peers: Neighbours, actions: ActionBuffer) {
    this.#policy = policy;
    this.#peers = peers;
    this.#actions = actions;
  }

  /** Uploads under way. */
  get active(): number {
    return this.#active;
  }

  /** Slots that the peer may have. */
  freeFor(peer: number): number {
    return this.#free + (this.#peers.get(peer)?.kept ?? 0);
  }

  /** @returns whether there was a slot for the peer; if not, it now waits for one */
  take(peer: number): boolean {
    const neighbour = this.#peers.at(peer);
    if (neighbour.kept > 0) {
      neighbour.kept--;
      this.#kept--;
    } else if (this.#free === 0) {
      if (!this.#waiting.includes(peer)) this.#waiting.push(peer);
      return false;
    }
    this.#stopWaiting(peer);
    this.#active++;
    neighbour.uploads++;
    return true;
  }

  /** The peer waits for a slot. */
  wait(peer: number, now: number): void {
    if (this.#peers.at(peer).kept > 0) {
      this.#actions.push(Action.slots, peer, -1, -1, -1);
      return;
    }
    if (!this.#waiting.includes(peer)) this.#waiting.push(peer);
    this.#giveOut(now);
  }

  /** The peer has no use for what was kept for it. */
  pass(neighbour: Neighbour, now: number): void {
    if (neighbour.kept === 0) return;
    this.#kept -= neighbour.kept;
    neighbour.kept = 0;
    this.#giveOut(now);
  }

  /** One upload to the peer ended. */
  release(peer: number, now: number): void {
    const neighbour = this.#peers.get(peer);
    if (neighbour === undefined || neighbour.uploads === 0) return;
    neighbour.uploads--;
    this.#active--;
    if (this.#policy.useful(peer)) this.#keep(neighbour, now);
    else this.#giveOut(now);
  }

  /** The peer is gone, and its uploads with it. */
  forget(peer: number, now: number): void {
    const neighbour = this.#peers.at(peer);
    this.#stopWaiting(peer);
    this.#active -= neighbour.uploads;
    neighbour.uploads = 0;
    this.pass(neighbour, now);
    this.#giveOut(now);
  }

  /** Ends what was kept for too long. */
  tick(now: number): void {
    if (this.#kept === 0) return;
    for (const neighbour of this.#peers.all()) {
      if (neighbour === undefined || now - neighbour.keptAt < this.#policy.keepMs) continue;
      this.pass(neighbour, now);
    }
  }

  get #free(): number {
    return this.#policy.slots - this.#active - this.#kept;
  }

  #keep(neighbour: Neighbour, now: number): void {
    neighbour.kept++;
    neighbour.keptAt = now;
    this.#kept++;
  }

  /** Keeps free slots for those who wait, and tells them. */
  #giveOut(now: number): void {
    for (let at = 0; this.#free > 0 && at < this.#waiting.length; ) {
      const next = this.#waiting[at]!;
      if (!this.#policy.useful(next)) {
        at++;
        continue;
      }
      this.#waiting.splice(at, 1);
      this.#keep(this.#peers.at(next), now);
      this.#actions.push(Action.slots, next, -1, -1, -1);
    }
  }

  #stopWaiting(peer: number): void {
    const at = this.#waiting.indexOf(peer);
    if (at >= 0) this.#waiting.splice(at, 1);
  }
}

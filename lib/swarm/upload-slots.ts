import { Action, type ActionBuffer } from './actions.ts';
import type { BlobList } from './blob-list.ts';
import type { Neighbours } from './neighbours.ts';
import type { PeerCoreOptions } from './peer-core-options.ts';
import { removeAt } from './slots.ts';

/** A peer that lacks at most so many of our pieces is nearly as far as we are. */
const NEARLY = 32;

/**
 * The upload slots of one node. Nobody queues for a piece: who comes too late is refused, and told when there is a slot
 * for it. A slot that becomes free is kept for one peer at a time, until that peer takes it or tells its own slots
 * instead (it has no use for it): first for the peer whose upload ended, so that it can go on at once, unless it
 * sends wrong bytes, then for those that wait, in the order in which they began to. Were it free for all, all would come and all but one be refused.
 */
export class UploadSlots {
  readonly #options: PeerCoreOptions;
  readonly #blobs: BlobList;
  readonly #peers: Neighbours;
  readonly #actions: ActionBuffer;
  readonly #waiting: number[] = [];
  #slots: number;
  #active = 0;
  #kept = 0;

  /** Adds `slots` actions to `actions`; counts uploads in `peers`. */
  constructor(options: PeerCoreOptions, blobs: BlobList, peers: Neighbours, actions: ActionBuffer) {
    this.#options = options;
    this.#blobs = blobs;
    this.#peers = peers;
    this.#actions = actions;
    this.#slots = options.uploadSlots;
  }

  /** From now on so many at a time; more that are under way go on. */
  use(slots: number, now: number): void {
    this.#slots = slots;
    this.#giveOut(now);
  }

  /** Uploads under way. */
  get active(): number {
    return this.#active;
  }

  /** Slots that the peer may have; of a number that names none, those that are free for all. */
  freeFor(peer: number): number {
    return Math.max(0, this.#free) + (this.#kept > 0 && this.#peers.known(peer) ? this.#peers.kept(peer) : 0);
  }

  /** @returns whether there was a slot for the peer; if not, it now waits for one */
  take(peer: number): boolean {
    const kept = this.#peers.kept(peer);
    if (kept > 0) {
      this.#peers.setKept(peer, kept - 1);
      this.#kept--;
    } else if (this.#free <= 0) {
      if (!this.#waiting.includes(peer)) this.#waiting.push(peer);
      return false;
    }
    this.#stopWaiting(peer);
    this.#active++;
    this.#peers.setUploads(peer, this.#peers.uploads(peer) + 1);
    return true;
  }

  /** The peer waits for a slot. */
  wait(peer: number, now: number): void {
    if (this.#peers.kept(peer) > 0) {
      this.#actions.push(Action.slots, peer, -1, -1, -1);
      return;
    }
    if (!this.#waiting.includes(peer)) this.#waiting.push(peer);
    this.#giveOut(now);
  }

  /** The peer has no use for what was kept for it. */
  pass(peer: number, now: number): void {
    const kept = this.#peers.kept(peer);
    if (kept === 0) return;
    this.#kept -= kept;
    this.#peers.setKept(peer, 0);
    this.#giveOut(now);
  }

  /** One upload to the peer ended. */
  release(peer: number, now: number): void {
    if (!this.#peers.known(peer)) return;
    const uploads = this.#peers.uploads(peer);
    if (uploads === 0) return;
    this.#peers.setUploads(peer, uploads - 1);
    this.#active--;
    // With fewer slots than before, some go as their uploads end.
    const goesOn = !this.#peers.banned(peer) && this.#blobs.usefulTo(peer);
    if (this.#free > 0 && goesOn) this.#keep(peer, now);
    this.#giveOut(now);
  }

  /** The peer is gone, and its uploads with it. */
  forget(peer: number, now: number): void {
    this.#stopWaiting(peer);
    this.#active -= this.#peers.uploads(peer);
    this.#peers.setUploads(peer, 0);
    this.pass(peer, now);
    this.#giveOut(now);
  }

  /** Ends what was kept for too long. */
  tick(now: number): void {
    if (this.#kept === 0) return;
    for (let peer = 0; peer < this.#peers.end; peer++) {
      if (this.#peers.known(peer) && now - this.#peers.keptAt(peer) >= this.#options.keepMs) {
        this.pass(peer, now);
      }
    }
  }

  get #free(): number {
    return (this.#blobs.young ? 1 : this.#slots) - this.#active - this.#kept;
  }

  #keep(peer: number, now: number): void {
    this.#peers.keep(peer, now);
    this.#kept++;
  }

  /** Keeps free slots for those who wait, and tells them. */
  #giveOut(now: number): void {
    while (this.#free > 0) {
      const at = this.#nextInLine();
      if (at < 0) return;
      const next = this.#waiting[at]!;
      removeAt(this.#waiting, at);
      this.#keep(next, now);
      this.#actions.push(Action.slots, next, -1, -1, -1);
    }
  }

  /**
   * Place in line of whose turn it is, or -1: the first one's; unless that is nearly as far as we are. Then of all those
   * the one that lacks most: few can serve them, and who falls behind there ends last.
   */
  #nextInLine(): number {
    let best = -1;
    let most = 0;
    for (let at = 0; at < this.#waiting.length; at++) {
      const lacked = this.#blobs.lackedBy(this.#waiting[at]!);
      if (best < 0 ? lacked === 0 : lacked <= most || lacked > NEARLY) continue;
      best = at;
      most = lacked;
      if (most > NEARLY) break;
    }
    return best;
  }

  #stopWaiting(peer: number): void {
    const at = this.#waiting.indexOf(peer);
    if (at >= 0) removeAt(this.#waiting, at);
  }
}

import type { SharedBlob } from './shared-blob.ts';
import { removeAt, SlotList } from './slots.ts';

/** A node that holds so many pieces of what it wants has enough to trade with several neighbours at once. */
const BEGUN = 2;
/** A neighbour that holds so many is not at the beginning any more, and neither is the swarm. */
const GROWN = 8;

/** The blobs of a node by number, and the incomplete ones in the order in which they are wanted. */
export class BlobList {
  readonly #slots = new SlotList();
  readonly #blobs: (SharedBlob | undefined)[] = [];
  readonly #wanted: number[] = [];
  /** The blob asked for last: mostly the next one too, and it is found without going through the list. */
  #recentSlot = -1;
  #recent: SharedBlob | undefined;

  /** Blobs that miss pieces, most urgent first. */
  get wanted(): readonly number[] {
    return this.#wanted;
  }

  /** All numbers are below this. */
  get end(): number {
    return this.#blobs.length;
  }

  get(slot: number): SharedBlob | undefined {
    if (slot === this.#recentSlot) return this.#recent;
    const blob = this.#blobs[slot];
    if (blob !== undefined) {
      this.#recentSlot = slot;
      this.#recent = blob;
    }
    return blob;
  }

  add(blob: SharedBlob): number {
    const slot = this.#slots.take();
    this.#blobs[slot] = blob;
    this.sort(slot);
    return slot;
  }

  remove(slot: number): void {
    this.#unwant(slot);
    this.#blobs[slot] = undefined;
    this.#recentSlot = -1;
    this.#recent = undefined;
    this.#slots.release(slot);
  }

  /** Puts the blob where it belongs after its priority or its completeness changed. */
  sort(slot: number): void {
    this.#unwant(slot);
    const blob = this.#blobs[slot];
    if (blob === undefined || blob.complete) return;
    let at = 0;
    while (at < this.#wanted.length && this.#blobs[this.#wanted[at]!]!.priority <= blob.priority) at++;
    this.#wanted.splice(at, 0, slot);
  }

  /**
   * The blob to make the next request for: of the most urgent ones that are not exhausted in this round, the one with
   * the fewest requests under way, so that no client's layer waits until another one is complete. -1 when none is left.
   */
  next(round: number): number {
    let best = -1;
    let priority = 0;
    let fewest = 0;
    for (let i = 0; i < this.#wanted.length; i++) {
      const blob = this.#blobs[this.#wanted[i]!]!;
      if (best >= 0 && blob.priority > priority) break;
      if (blob.exhausted === round || (best >= 0 && blob.inFlight >= fewest)) continue;
      best = this.#wanted[i]!;
      priority = blob.priority;
      fewest = blob.inFlight;
    }
    return best;
  }

  /**
   * Whether one of the most urgent blobs has no request under way, but a supernode that could offer it a piece: nobody
   * else may hold any, and a node whose slots are all taken by other blobs gets no offers.
   */
  get awaitsOffer(): boolean {
    const priority = this.#blobs[this.#wanted[0]!]?.priority;
    for (let i = 0; i < this.#wanted.length; i++) {
      const blob = this.#blobs[this.#wanted[i]!]!;
      if (blob.priority !== priority) return false;
      if (blob.inFlight === 0 && blob.supernodes > 0) return true;
    }
    return false;
  }

  /**
   * Whether the node and its neighbours have just begun with all that it wants. A piece spreads fastest then when each
   * copy is made at full speed and passed on, one after the other.
   */
  get young(): boolean {
    let held = 0;
    for (let i = 0; i < this.#wanted.length; i++) {
      const blob = this.#blobs[this.#wanted[i]!]!;
      held += blob.count;
      // What is asked for now is not counted as held by anyone.
      if (held >= BEGUN || blob.anyHolds(GROWN - blob.inFlight)) return false;
    }
    return this.#wanted.length > 0;
  }

  /** Whether we hold a piece that the peer lacks, of a blob that it shares with us. */
  usefulTo(peer: number): boolean {
    for (let slot = 0; slot < this.#blobs.length; slot++) {
      const blob = this.#blobs[slot];
      const row = blob === undefined ? -1 : blob.rowOf(peer);
      if (row >= 0 && blob!.lacks(row)) return true;
    }
    return false;
  }

  /** How many pieces that we hold the peer lacks. */
  lackedBy(peer: number): number {
    let lacked = 0;
    for (let slot = 0; slot < this.#blobs.length; slot++) {
      const blob = this.#blobs[slot];
      const row = blob === undefined ? -1 : blob.rowOf(peer);
      if (row >= 0) lacked += blob!.lackedBy(row);
    }
    return lacked;
  }

  #unwant(slot: number): void {
    const at = this.#wanted.indexOf(slot);
    if (at >= 0) removeAt(this.#wanted, at);
  }
}

import type { Rng } from '../runtime/rng.ts';
import { Action, type ActionBuffer } from './actions.ts';
import type { BlobList } from './blob-list.ts';
import { ANY, type Fetches } from './fetches.ts';
import type { Neighbours } from './neighbours.ts';
import type { PeerCoreOptions } from './peer-core-options.ts';
import type { SharedBlob } from './shared-blob.ts';

/** Rows of the blob under decision that may be asked now; decisions do not nest, so that all nodes share it. */
let askable = new Int32Array(64);

/** Which piece of which blob a node asks next, and of whom. */
export class Choice {
  readonly #options: PeerCoreOptions;
  readonly #rng: Rng;
  readonly #blobs: BlobList;
  readonly #peers: Neighbours;
  readonly #fetches: Fetches;
  readonly #actions: ActionBuffer;
  #pausedUntil = 0;
  #round = 0;

  /** Makes requests through `fetches`, adds `hungry` actions to `actions`. */
  constructor(
    options: PeerCoreOptions,
    rng: Rng,
    blobs: BlobList,
    peers: Neighbours,
    fetches: Fetches,
    actions: ActionBuffer,
  ) {
    this.#options = options;
    this.#rng = rng;
    this.#blobs = blobs;
    this.#peers = peers;
    this.#fetches = fetches;
    this.#actions = actions;
  }

  /** Makes requests until the slots are full or nothing can be had. @param only the one peer with news, or ANY */
  fill(now: number, only: number): void {
    if (this.#fetches.free === 0 || this.paused(now)) return;
    const round = ++this.#round;
    for (let slot = this.#blobs.next(round); slot >= 0; slot = this.#blobs.next(round)) {
      const blob = this.#blobs.get(slot)!;
      if (!this.#mayTake(blob) || !this.#choose(slot, blob, now, only)) blob.exhausted = round;
      else if (this.#fetches.free === 0) return;
    }
    for (let i = 0; i < this.#blobs.wanted.length; i++) {
      this.#waitForSlots(this.#blobs.get(this.#blobs.wanted[i]!)!, now, only);
    }
  }

  /** After a piece from that peer: mostly goes on with it, when it has something of the most urgent blob. */
  stay(peer: number, now: number): void {
    if (this.#fetches.free === 0 || this.paused(now) || !this.#peers.sameZone(peer)) return;
    const slot = this.#blobs.next(++this.#round);
    if (slot < 0 || !this.#mayTake(this.#blobs.get(slot)!) || this.#rng.float() >= this.#options.stayShare) {
      return;
    }
    this.#choose(slot, this.#blobs.get(slot)!, now, peer);
  }

  /** Whether a peer may be asked for the blob: the last slot is kept while a blob waits for a supernode's offer. */
  #mayTake(blob: SharedBlob): boolean {
    const { free } = this.#fetches;
    return free > 1 || (free === 1 && (blob.inFlight === 0 || !this.#blobs.awaitsOffer));
  }

  /** Whether requests are paused. */
  paused(now: number): boolean {
    return now < this.#pausedUntil;
  }

  pauseUntil(time: number): void {
    this.#pausedUntil = time;
  }

  /** Makes one request for the blob. @returns whether there was one to make */
  #choose(slot: number, blob: SharedBlob, now: number, only: number): boolean {
    if (askable.length < blob.rows) askable = new Int32Array(blob.rows * 2);
    let count = 0;
    for (let row = only === ANY ? 0 : blob.rowOf(only); row >= 0 && row < blob.rows; row++) {
      if (this.#mayAsk(blob, blob.sharer(row), now)) askable[count++] = row;
      if (only !== ANY) break;
    }
    if (count === 0) return false;
    const inOrder = this.#rng.float() < this.#options.inOrderShare;
    const piece = inOrder
      ? blob.firstIn(askable, count)
      : blob.rareIn(askable, count, this.#options.sample, this.#rng.int(blob.pieces));
    if (piece < 0) return false;
    let best = -1;
    let bestScore = Number.POSITIVE_INFINITY;
    const from = count === 1 ? 0 : this.#rng.int(count);
    for (let i = 0; i < count; i++) {
      const row = askable[from + i < count ? from + i : from + i - count]!;
      if (!blob.peerHas(row, piece)) continue;
      const peer = blob.sharer(row);
      const score = this.#peers.score(peer);
      if (score >= bestScore) continue;
      best = peer;
      bestScore = score;
    }
    this.#fetches.start(best, slot, piece, now);
    return true;
  }

  #mayAsk(blob: SharedBlob, peer: number, now: number): boolean {
    const peers = this.#peers;
    if (peers.up(peer) === 0 || !peers.trusted(peer, now)) return false;
    if (peers.supernode(peer)) return now - blob.movedAt >= this.#options.askSupernodeAfterMs;
    // A slot that waits a moment for a fast peer brings more than one that a slow peer holds.
    if (blob.inFlight > 0 && peers.slow(peer)) return false;
    return this.#zoneOpen(blob, peer, now);
  }

  #zoneOpen(blob: SharedBlob, peer: number, now: number): boolean {
    return this.#peers.sameZone(peer) || now - blob.localAt >= this.#options.remoteAfterMs;
  }

  /** Tells those who have what we want, but no free slot, and supernodes, that we have free slots ourselves. */
  #waitForSlots(blob: SharedBlob, now: number, only: number): void {
    const peers = this.#peers;
    for (let row = only === ANY ? 0 : blob.rowOf(only); row >= 0 && row < blob.rows; row++) {
      const peer = blob.sharer(row);
      if (!peers.toldToWait(peer, now) && peers.trusted(peer, now)) {
        const hungry = peers.supernode(peer)
          ? blob.wantsAny()
          : peers.up(peer) === 0 && this.#zoneOpen(blob, peer, now) && blob.useful(row);
        if (hungry) {
          peers.waitUntil(peer, now + this.#options.waitRepeatMs);
          this.#actions.push(Action.hungry, peer, -1, -1, -1);
        }
      }
      if (only !== ANY) break;
    }
  }
}

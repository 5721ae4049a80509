import type { Rng } from '../runtime/rng.ts';
import { Action, type ActionBuffer } from './actions.ts';
import type { BlobList } from './blob-list.ts';
import { ANY, type Fetches } from './fetches.ts';
import type { Neighbour, Neighbours } from './neighbours.ts';
import type { PeerCoreOptions } from './peer-core-options.ts';
import type { SharedBlob } from './shared-blob.ts';

const INITIAL_ROWS = 16;

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
  /** Rows of the blob under decision that may be asked now. */
  #rows = new Int32Array(INITIAL_ROWS);

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
    if (this.#fetches.free === 0 || this.paused(now) || !this.#peers.at(peer).sameZone) return;
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
    if (this.#rows.length < blob.rows) this.#rows = new Int32Array(blob.sharers.length);
    let count = 0;
    for (let row = only === ANY ? 0 : blob.rowOf(only); row >= 0 && row < blob.rows; row++) {
      if (this.#mayAsk(blob, blob.sharers[row]!, now)) this.#rows[count++] = row;
      if (only !== ANY) break;
    }
    if (count === 0) return false;
    const inOrder = this.#rng.float() < this.#options.inOrderShare;
    const piece = inOrder
      ? blob.firstIn(this.#rows, count)
      : blob.rareIn(this.#rows, count, this.#options.sample, this.#rng.int(blob.pieces));
    if (piece < 0) return false;
    let best = -1;
    let bestScore = Number.POSITIVE_INFINITY;
    const from = count === 1 ? 0 : this.#rng.int(count);
    for (let i = 0; i < count; i++) {
      const row = this.#rows[from + i < count ? from + i : from + i - count]!;
      if (!blob.peerHas(row, piece)) continue;
      const peer = blob.sharers[row]!;
      const { score } = this.#peers.at(peer);
      if (score >= bestScore) continue;
      best = peer;
      bestScore = score;
    }
    this.#fetches.start(best, slot, piece, now);
    return true;
  }

  #mayAsk(blob: SharedBlob, peer: number, now: number): boolean {
    const neighbour = this.#peers.at(peer);
    if (neighbour.up === 0 || !neighbour.trusted(now)) return false;
    if (neighbour.supernode) return now - blob.movedAt >= this.#options.askSupernodeAfterMs;
    return this.#zoneOpen(blob, neighbour, now);
  }

  #zoneOpen(blob: SharedBlob, neighbour: Neighbour, now: number): boolean {
    return neighbour.sameZone || now - blob.localAt >= this.#options.remoteAfterMs;
  }

  /** Tells those who have what we want, but no free slot, and supernodes, that we have free slots ourselves. */
  #waitForSlots(blob: SharedBlob, now: number, only: number): void {
    for (let row = only === ANY ? 0 : blob.rowOf(only); row >= 0 && row < blob.rows; row++) {
      const peer = blob.sharers[row]!;
      const neighbour = this.#peers.at(peer);
      if ((!neighbour.waits || now >= neighbour.waitsUntil) && neighbour.trusted(now)) {
        const hungry = neighbour.supernode
          ? blob.wantsAny()
          : neighbour.up === 0 && this.#zoneOpen(blob, neighbour, now) && blob.useful(row);
        if (hungry) {
          neighbour.waitUntil(now + this.#options.waitRepeatMs);
          this.#actions.push(Action.hungry, peer, -1, -1, -1);
        }
      }
      if (only !== ANY) break;
    }
  }
}

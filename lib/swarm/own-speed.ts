import type { BlobList } from './blob-list.ts';
import type { Fetches } from './fetches.ts';
import type { Neighbours } from './neighbours.ts';
import type { PeerCoreOptions } from './peer-core-options.ts';
import type { SharedBlob } from './shared-blob.ts';
import type { UploadSlots } from './upload-slots.ts';

/** Neighbours with news in a window, below which they are no measure of what is usual. */
const FEW = 3;
/** A node that would need so many times the usual slots to keep up with its neighbours is slow. */
const SLOW = 1.5;
/** And it gets so many times the slots that its speed would give it: rather a slot too much than idle. */
const GENEROUS = 1.25;
/** Below this it may try one slot more. */
const KEEPS_UP = 1.25;
/** What neighbours got in the window that is looked at. Decisions do not nest, so that all cores share it. */
let gains = new Int32Array(32);

/**
 * How many slots a node should use for its own speed. A slow machine with as many transfers as everybody holds slots of
 * fast ones ten times as long, and these slots are what the swarm lives on: in simulation with 5 % of the nodes at a
 * tenth of the rate, p99.9 of the fast ones fell from 1.5 times `bytes / rate` to 1.1 with this. Nobody needs to be told
 * who is slow: a node sees how many pieces its neighbours get, and how long its own fastest requests take.
 */
export class OwnSpeed {
  readonly #options: PeerCoreOptions;
  readonly #blobs: BlobList;
  readonly #peers: Neighbours;
  readonly #fetches: Fetches;
  readonly #uploads: UploadSlots;
  /** Blob -> peer -> pieces that it had at the end of the last window, plus one. */
  readonly #before: Int32Array[] = [];
  #since = 0;
  #slots: number;
  #mostDownloads = Number.POSITIVE_INFINITY;
  #mostUploads = Number.POSITIVE_INFINITY;

  constructor(
    options: PeerCoreOptions,
    blobs: BlobList,
    peers: Neighbours,
    fetches: Fetches,
    uploads: UploadSlots,
  ) {
    this.#options = options;
    this.#blobs = blobs;
    this.#peers = peers;
    this.#fetches = fetches;
    this.#uploads = uploads;
    this.#slots = options.downloadSlots;
  }

  /** To be called now and then; decides at the end of each window. */
  look(now: number): void {
    const windowMs = now - this.#since;
    if (windowMs < this.#options.speedWindowMs) return;
    this.#since = now;
    this.#peers.forgetSlowness();
    // Slots with which a node as fast as this one would keep up with its neighbours.
    let needed = 0;
    for (const slot of this.#blobs.wanted) {
      const blob = this.#blobs.get(slot)!;
      const gain = this.#usualGain(slot, blob);
      const tookMs = Number.isFinite(blob.fastestMs) ? blob.fastestMs : this.#fetches.oldestMs(slot, now);
      needed += (gain * tookMs) / windowMs;
      blob.fastestMs = Number.POSITIVE_INFINITY;
    }
    const usual = this.#options.downloadSlots;
    if (needed > SLOW * usual) this.#use(Math.floor((this.#slots * usual * GENEROUS) / needed), now);
    else if (needed < KEEPS_UP * usual && this.#slots < usual) this.#use(this.#slots + 1, now);
  }

  /** From now on never more, however fast the node is. */
  limit(uploads: number, downloads: number, now: number): void {
    this.#mostUploads = uploads;
    this.#mostDownloads = downloads;
    this.#use(this.#slots, now);
  }

  #use(slots: number, now: number): void {
    const { downloadSlots, uploadSlots } = this.#options;
    this.#slots = Math.min(downloadSlots, Math.max(1, slots));
    this.#fetches.use(Math.min(this.#slots, this.#mostDownloads));
    const uploads = Math.max(1, Math.round((uploadSlots * this.#slots) / downloadSlots));
    this.#uploads.use(Math.min(uploads, this.#mostUploads), now);
  }

  /** Median of the pieces that neighbours got in this window, of those that got any; 0 when they are too few. */
  #usualGain(slot: number, blob: SharedBlob): number {
    if (gains.length < blob.rows) gains = new Int32Array(blob.rows * 2);
    let count = 0;
    let before = this.#before[slot] ?? new Int32Array(0);
    for (let row = 0; row < blob.rows; row++) {
      const peer = blob.sharer(row);
      if (peer >= before.length) {
        const longer = new Int32Array(peer + 8);
        longer.set(before);
        before = longer;
      }
      const held = blob.heldBy(row);
      const had = before[peer]! - 1;
      if (had >= 0 && held > had) insert(held - had, count++);
      before[peer] = held + 1;
    }
    this.#before[slot] = before;
    return count < FEW ? 0 : gains[count >> 1]!;
  }
}

/** Puts a gain where it belongs among the first `count`, which are in order. */
function insert(gain: number, count: number): void {
  let at = count;
  while (at > 0 && gains[at - 1]! > gain) {
    gains[at] = gains[at - 1]!;
    at--;
  }
  gains[at] = gain;
}

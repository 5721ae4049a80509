import { Action, type ActionBuffer } from './actions.ts';
import type { BlobList } from './blob-list.ts';
import type { Memory } from './memory.ts';
import type { Neighbours } from './neighbours.ts';
import type { PeerCoreOptions } from './peer-core-options.ts';
import { RequestState, Requests } from './requests.ts';

/** In place of a number: every blob, peer or piece. */
export const ANY = -1;
/** Weight of the last request in what is usual: about the last eight count. */
const PACE_WEIGHT = 1 / 8;
/** 2^n pauses are capped long before; keeps the power finite. */
const MOST_DOUBLINGS = 30;

/**
 * The requests of one node with all that hangs on them: download slots, busy pieces, suspicion. A live request takes a
 * slot and makes its piece busy; a late one does neither, and makes its peer suspect.
 */
export class Fetches {
  readonly #options: PeerCoreOptions;
  readonly #blobs: BlobList;
  readonly #peers: Neighbours;
  readonly #actions: ActionBuffer;
  readonly #requests: Requests;
  #free: number;
  #slots: number;
  #storing = 0;
  #made = 0;

  /** Adds `request` and `cancel` actions to `actions`. */
  constructor(
    options: PeerCoreOptions,
    blobs: BlobList,
    peers: Neighbours,
    actions: ActionBuffer,
    memory: Memory,
  ) {
    this.#options = options;
    this.#blobs = blobs;
    this.#peers = peers;
    this.#actions = actions;
    this.#free = options.downloadSlots;
    this.#slots = options.downloadSlots;
    this.#requests = new Requests(memory);
  }

  /**
   * Download slots that are free. As many pieces may wait for the disk as there are slots: a slow disk slows the
   * requests down in the end, and memory stays bounded. In a young swarm there is one slot.
   */
  get free(): number {
    if (this.#free <= 0) return 0;
    return this.#blobs.young ? Math.max(0, this.#free - this.#slots + 1) : this.#free;
  }

  /** From now on so many at a time; more that are under way go on. */
  use(slots: number): void {
    this.#free += slots - this.#slots;
    this.#slots = slots;
  }

  /** How long the oldest live request for the blob has been under way, milliseconds; 0 when there is none. */
  oldestMs(slot: number, now: number): number {
    const requests = this.#requests;
    let oldest = 0;
    for (let request = 0; request < requests.end; request++) {
      if (requests.state(request) !== RequestState.live || requests.blob(request) !== slot) continue;
      oldest = Math.max(oldest, now - requests.startedAt(request));
    }
    return oldest;
  }

  /** Requests ever made. */
  get made(): number {
    return this.#made;
  }

  known(request: number): boolean {
    return this.#requests.known(request);
  }

  peerOf(request: number): number {
    return this.#requests.peer(request);
  }

  blobOf(request: number): number {
    return this.#requests.blob(request);
  }

  pieceOf(request: number): number {
    return this.#requests.piece(request);
  }

  start(peer: number, slot: number, piece: number, now: number): void {
    const request = this.#requests.add(peer, slot, piece, now);
    if (this.#peers.up(peer) > 0) this.#peers.changeUp(peer, -1);
    this.#goLive(request);
    this.#made++;
    this.#blobs.get(slot)!.movedAt = now;
    this.#actions.push(Action.request, peer, slot, piece, request);
  }

  /** Bytes came: nobody is suspect on account of this request any more, and it may get a slot again. */
  progress(request: number, now: number): void {
    const requests = this.#requests;
    const peer = this.peerOf(request);
    const blob = this.#blobs.get(this.blobOf(request))!;
    requests.progress(request, now);
    blob.progressedAt = now;
    blob.movedAt = now;
    if (this.#peers.sameZone(peer) || this.#peers.supernode(peer)) blob.localAt = now;
    const state = requests.state(request);
    if (state === RequestState.live || state === RequestState.storing) return;
    if (state === RequestState.late) {
      requests.setState(request, RequestState.moving);
      this.#peers.changeLate(peer, -1);
      this.#peers.block(peer, now);
    }
    if (this.free > 0 && blob.wants(this.pieceOf(request))) this.#goLive(request);
  }

  /** All bytes are here: the slot is free, the piece stays busy. @returns whether the request had a slot */
  arrive(request: number, now: number): boolean {
    this.progress(request, now);
    if (this.#requests.state(request) !== RequestState.live) return false;
    this.#learnPace(request, now);
    this.#requests.setState(request, RequestState.storing);
    this.#changeSlots(-1, 1);
    return true;
  }

  /** Takes the request out; its piece can be asked for again. */
  end(request: number): void {
    const requests = this.#requests;
    const state = requests.state(request);
    if (state === RequestState.storing) {
      this.#changeSlots(0, -1);
      this.#freePiece(request);
    }
    if (state === RequestState.late) this.#peers.changeLate(this.peerOf(request), -1);
    if (state === RequestState.live) this.#release(request);
    requests.remove(request);
  }

  /** A live request for the piece that has brought no byte lets go of it, and of its slot. It may still win. */
  letGo(slot: number, piece: number): void {
    const requests = this.#requests;
    for (let request = 0; request < requests.end; request++) {
      if (requests.state(request) !== RequestState.live) continue;
      if (requests.blob(request) !== slot || requests.piece(request) !== piece) continue;
      if (requests.progressAt(request) > requests.startedAt(request)) continue;
      this.#release(request);
      requests.setState(request, RequestState.moving);
    }
  }

  /** Cancels the requests for that blob, to that peer, for that piece, or for {@link ANY}. */
  cancel(slot: number, peer: number, piece: number): void {
    const requests = this.#requests;
    for (let request = requests.end - 1; request >= 0; request--) {
      if (requests.state(request) === RequestState.free) continue;
      const itsBlob = requests.blob(request);
      const itsPeer = requests.peer(request);
      const itsPiece = requests.piece(request);
      if (slot !== ANY && itsBlob !== slot) continue;
      if (peer !== ANY && itsPeer !== peer) continue;
      if (piece !== ANY && itsPiece !== piece) continue;
      this.#actions.push(Action.cancel, itsPeer, itsBlob, itsPiece, request);
      this.end(request);
    }
  }

  /**
   * Takes the slot from every request for which no byte came for too long (its peer is suspect too) or that takes far
   * longer than usual. Both may still win.
   */
  releaseStale(now: number): void {
    const requests = this.#requests;
    const { suspectMs, slowFactor } = this.#options;
    for (let request = 0; request < requests.end; request++) {
      const state = requests.state(request);
      if (state !== RequestState.live && state !== RequestState.moving) continue;
      if (now - requests.progressAt(request) <= suspectMs) {
        const { paceMs } = this.#blobs.get(this.blobOf(request))!;
        if (
          state === RequestState.live &&
          paceMs > 0 &&
          now - requests.startedAt(request) > slowFactor * paceMs
        ) {
          this.#release(request);
          requests.setState(request, RequestState.moving);
        }
        continue;
      }
      if (state === RequestState.live) this.#release(request);
      requests.setState(request, RequestState.late);
      this.#peers.changeLate(this.peerOf(request), 1);
      this.strike(this.peerOf(request), now);
    }
  }

  /** The peer is not asked for a while, longer with every failure in a row. */
  strike(peer: number, now: number): void {
    const { backoffMs, maxBackoffMs } = this.#options;
    const doublings = Math.min(this.#peers.strike(peer), MOST_DOUBLINGS);
    this.#peers.block(peer, now + Math.min(maxBackoffMs, backoffMs * 2 ** doublings));
  }

  /** The request brought its piece: what is usual for the blob and for the peer moves a little towards its time. */
  #learnPace(request: number, now: number): void {
    const blob = this.#blobs.get(this.blobOf(request))!;
    const peer = this.peerOf(request);
    const tookMs = now - this.#requests.startedAt(request);
    if (tookMs < blob.fastestMs) blob.fastestMs = tookMs;
    if (blob.paceMs === 0) blob.paceMs = tookMs;
    // Relative to what is usual for the blob, because pieces of different blobs differ in size.
    if (blob.paceMs > 0) {
      const slowness = this.#peers.slowness(peer);
      this.#peers.setSlowness(peer, slowness + (tookMs / blob.paceMs - slowness) * PACE_WEIGHT);
    }
    blob.paceMs += (tookMs - blob.paceMs) * PACE_WEIGHT;
  }

  #goLive(request: number): void {
    const blob = this.#blobs.get(this.blobOf(request))!;
    this.#requests.setState(request, RequestState.live);
    blob.setBusy(this.pieceOf(request));
    blob.inFlight++;
    this.#changeSlots(1, 0);
  }

  /** A live request gives its slot and its piece back. */
  #release(request: number): void {
    this.#freePiece(request);
    this.#changeSlots(-1, 0);
  }

  /** So many more or fewer requests are live, or storing. */
  #changeSlots(live: number, storing: number): void {
    const { downloadSlots } = this.#options;
    const storedLater = Math.max(0, this.#storing - downloadSlots);
    this.#storing += storing;
    this.#free += storedLater - live - Math.max(0, this.#storing - downloadSlots);
  }

  /** The piece can be asked for again. */
  #freePiece(request: number): void {
    const blob = this.#blobs.get(this.blobOf(request))!;
    blob.clearBusy(this.pieceOf(request));
    blob.inFlight--;
  }
}

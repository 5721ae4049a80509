import type { Bitfield } from '../core/bitfield.ts';
import type { Rng } from '../runtime/rng.ts';
import { Action, ActionBuffer } from './actions.ts';
import { BlobList } from './blob-list.ts';
import { Choice } from './choice.ts';
import { ANY, Fetches } from './fetches.ts';
import { Memory } from './memory.ts';
import { Neighbours, type PeerKind } from './neighbours.ts';
import { OwnSpeed } from './own-speed.ts';
import { DEFAULT_PEER_CORE_OPTIONS, type PeerCoreOptions } from './peer-core-options.ts';
import { SharedBlob } from './shared-blob.ts';
import { UploadSlots } from './upload-slots.ts';

/** Why a request ended without its piece. */
export type RequestFailure = 'busy' | 'unreachable' | 'missing' | 'corrupt' | 'local';

/**
 * Every decision of one node: which piece of which blob from which neighbour, whom to serve, whom to tell. Pure:
 * events and the time (ms, never going back) come in, actions go out into {@link actions}, which the caller reads and
 * clears after each call. Blobs, peers and requests are small integers from free lists: a number is used again after
 * its remove, a request's after its received, failed or cancel action (report nothing for it any more; if its piece was
 * stored all the same, say `obtained`). Reports about numbers that are not in use are ignored.
 *
 * After every event with a known time the node is settled: either all its download slots are taken, or no neighbour
 * that may be asked has a piece that it wants. That is why news about one peer needs a look at that peer only.
 */
export class PeerCore {
  readonly actions: ActionBuffer;
  readonly #options: PeerCoreOptions;
  readonly #memory: Memory;
  readonly #peers: Neighbours;
  readonly #fetches: Fetches;
  readonly #choice: Choice;
  readonly #uploads: UploadSlots;
  readonly #speed: OwnSpeed;
  readonly #blobs = new BlobList();

  /**
   * @param actions cores that are called one after the other may share one, read and cleared in between
   * @param memory cores of one process may share one
   */
  constructor(
    options: Partial<PeerCoreOptions>,
    rng: Rng,
    actions = new ActionBuffer(),
    memory = new Memory(),
  ) {
    this.#memory = memory;
    this.#peers = new Neighbours(memory);
    this.actions = actions;
    this.#options = { ...DEFAULT_PEER_CORE_OPTIONS, ...options };
    this.#fetches = new Fetches(this.#options, this.#blobs, this.#peers, this.actions, memory);
    this.#choice = new Choice(this.#options, rng, this.#blobs, this.#peers, this.#fetches, this.actions);
    this.#uploads = new UploadSlots(this.#options, this.#blobs, this.#peers, this.actions);
    this.#speed = new OwnSpeed(this.#options, this.#blobs, this.#peers, this.#fetches, this.#uploads);
  }

  /**
   * A blob that we share, complete or not.
   * @param priority lower = sooner
   * @returns its number
   */
  addBlob(pieces: number, have: Bitfield | undefined, priority: number, now: number): number {
    return this.#blobs.add(new SharedBlob(pieces, have, priority, now, this.#memory));
  }

  setPriority(slot: number, priority: number, now: number): void {
    const blob = this.#blobs.get(slot);
    if (blob === undefined) return;
    blob.priority = priority;
    this.#blobs.sort(slot);
    this.#choice.fill(now, ANY);
  }

  /** In-order choice starts at this piece; what lies before it is taken in order when nothing after it can be had. */
  setCursor(slot: number, piece: number): void {
    this.#blobs.get(slot)?.setCursor(piece);
  }

  /** Cancels its requests. */
  removeBlob(slot: number, now: number): void {
    if (this.#blobs.get(slot) === undefined) return;
    this.#fetches.cancel(slot, ANY, ANY);
    this.#blobs.remove(slot);
    this.#choice.fill(now, ANY);
  }

  /** A neighbour; it has no free slots until it tells so. @returns its number */
  addPeer(kind: PeerKind, sameZone: boolean, _now: number): number {
    return this.#peers.add(kind, sameZone);
  }

  /** Cancels the requests to it, forgets its pieces and ends its uploads: do not call `uploaded` for it afterwards. */
  removePeer(peer: number, now: number): void {
    if (!this.#peers.known(peer)) return;
    for (let slot = 0; slot < this.#blobs.end; slot++) this.#blobs.get(slot)?.removeSharer(peer);
    this.#fetches.cancel(ANY, peer, ANY);
    this.#uploads.forget(peer, now);
    this.#peers.remove(peer);
    this.#choice.fill(now, ANY);
  }

  /** The neighbour shares the blob: it holds or wants pieces. No piece of it is known yet. */
  peerShares(peer: number, slot: number): void {
    const blob = this.#blobs.get(slot);
    if (blob === undefined || !this.#peers.known(peer)) return;
    blob.addSharer(peer, this.#peers.supernode(peer));
    if (this.#peers.banned(peer)) blob.discount(blob.rowOf(peer));
  }

  /** It no longer does: what was asked of it for this blob is cancelled. */
  peerUnshares(peer: number, slot: number): void {
    if (!this.#peers.known(peer)) return;
    this.#blobs.get(slot)?.removeSharer(peer);
    this.#fetches.cancel(slot, peer, ANY);
  }

  /** It sends wrong bytes: nothing is asked of it any more, and what it holds does not count. It may go on asking us. */
  distrust(peer: number, now: number): void {
    if (!this.#peers.known(peer)) return;
    this.#peers.ban(peer);
    for (let slot = 0; slot < this.#blobs.end; slot++) {
      const blob = this.#blobs.get(slot);
      const row = blob?.rowOf(peer) ?? -1;
      if (row >= 0) blob?.discount(row);
    }
    this.#fetches.cancel(ANY, peer, ANY);
    this.#choice.fill(now, ANY);
  }

  peerHas(peer: number, slot: number, piece: number, now: number): void {
    const blob = this.#blobs.get(slot);
    const row = blob === undefined ? -1 : blob.rowOf(peer);
    if (blob === undefined || row < 0 || piece < 0 || piece >= blob.pieces) return;
    blob.setPeerHas(row, piece);
    if (this.freeDownloads > 0 && blob.wants(piece)) this.#choice.fill(now, peer);
  }

  /** The same as {@link peerHas} for one piece after the other. */
  peerHasAll(peer: number, slot: number, pieces: readonly number[], now: number): void {
    const blob = this.#blobs.get(slot);
    const row = blob === undefined ? -1 : blob.rowOf(peer);
    if (blob === undefined || row < 0) return;
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i]!;
      if (piece < 0 || piece >= blob.pieces) continue;
      blob.setPeerHas(row, piece);
      if (this.#fetches.free > 0 && blob.wants(piece)) this.#choice.fill(now, peer);
    }
  }

  /**
   * Its free slots, as any of its messages tells.
   * @param hungry true: it waits for an upload slot of ours; false: it does not, and has no use for one kept for it;
   * undefined: the message says nothing of that
   */
  peerSlots(peer: number, up: number, _down: number, hungry: boolean | undefined, now: number): void {
    if (!this.#peers.known(peer)) return;
    this.#peers.tell(peer, up);
    if (hungry === true) this.#uploads.wait(peer, now);
    else if (hungry === false) this.#uploads.pass(peer, now);
    if (up === 0) return;
    const waited = this.#peers.stopWaiting(peer);
    const asked = this.#fetches.made;
    this.#choice.fill(now, peer);
    // It keeps a slot for us, because we waited for one: it should know that we do not need it any more.
    if (waited && asked === this.#fetches.made) this.actions.push(Action.slots, peer, -1, -1, -1);
  }

  /**
   * A supernode offers a piece: answered by a request or a decline action.
   * @param awaited it was asked for this one, for which a client waits: taken without a free slot too, and although it
   * has just been slow
   */
  offered(peer: number, slot: number, piece: number, now: number, awaited = false): void {
    if (!this.#peers.known(peer)) return;
    const blob = this.#blobs.get(slot);
    const row = blob?.rowOf(peer) ?? -1;
    this.#peers.stopWaiting(peer);
    if (blob !== undefined && row >= 0 && piece >= 0 && piece < blob.pieces) {
      blob.setPeerHas(row, piece);
      const may = awaited
        ? !this.#peers.banned(peer)
        : this.freeDownloads > 0 && this.#peers.trusted(peer, now);
      if (may && !this.#choice.paused(now) && blob.wants(piece)) {
        this.#fetches.start(peer, slot, piece, now);
        return;
      }
    }
    this.actions.push(Action.decline, peer, slot, piece, -1);
  }

  /** Bytes arrived for the request. */
  progressed(request: number, now: number): void {
    if (!this.#fetches.known(request)) return;
    this.#fetches.progress(request, now);
    this.#choice.fill(now, this.#fetches.peerOf(request));
  }

  /**
   * All bytes of the piece are here, neither verified nor stored yet: the next request need not wait for that. Then
   * `received` or `failed`. May be left out.
   */
  arrived(request: number, now: number): void {
    const fetches = this.#fetches;
    if (!fetches.known(request) || !fetches.arrive(request, now)) return;
    const peer = fetches.peerOf(request);
    this.#peers.forgive(peer);
    const node = !this.#peers.supernode(peer);
    // A node keeps the slot that we used for us, until we say that we do not need it.
    const free = node ? this.#peers.changeUp(peer, 1) : -1;
    if (node) this.#choice.stay(peer, now);
    this.#choice.fill(now, ANY);
    if (this.#peers.up(peer) !== free) return;
    this.#peers.changeUp(peer, -1);
    this.actions.push(Action.slots, peer, -1, -1, -1);
  }

  /** The piece is verified and stored. */
  received(request: number, now: number): void {
    const fetches = this.#fetches;
    if (!fetches.known(request)) return;
    this.arrived(request, now);
    const slot = fetches.blobOf(request);
    const piece = fetches.pieceOf(request);
    fetches.end(request);
    this.#gain(slot, piece);
    this.#choice.fill(now, ANY);
  }

  /**
   * The request ended without the piece. `busy`: no free slot; `unreachable`: pause, then again; `missing`: it does not
   * have the piece after all; `corrupt`: {@link distrust} the peer; `local`: our own fault, pause all requests.
   */
  failed(request: number, reason: RequestFailure, now: number): void {
    const fetches = this.#fetches;
    if (!fetches.known(request)) return;
    const peer = fetches.peerOf(request);
    const blob = this.#blobs.get(fetches.blobOf(request))!;
    const piece = fetches.pieceOf(request);
    const row = blob.rowOf(peer);
    fetches.end(request);
    if (reason === 'busy') {
      this.#peers.tell(peer, 0);
      // Whoever refuses us knows that we wait.
      this.#peers.waitUntil(peer, now + this.#options.waitRepeatMs);
    }
    if (reason === 'unreachable') fetches.strike(peer, now);
    else if (reason === 'corrupt') this.distrust(peer, now);
    else if (reason === 'local') this.#choice.pauseUntil(now + this.#options.localPauseMs);
    else if (reason === 'missing' && row >= 0) blob.clearPeerHas(row, piece);
    this.#choice.fill(now, ANY);
  }

  /** The piece is here, verified and stored, from somewhere else (registry). Requests for it are cancelled. */
  obtained(slot: number, piece: number, now: number): void {
    this.#gain(slot, piece);
    this.#choice.fill(now, ANY);
  }

  /**
   * Keeps the piece from being asked of peers, because the caller is about to read it from the registry.
   * @returns false when it is here, asked of a peer or reserved already
   */
  reserve(slot: number, piece: number): boolean {
    const blob = this.#blobs.get(slot);
    if (blob === undefined || !blob.wants(piece)) return false;
    blob.reserve(piece);
    return true;
  }

  /**
   * A peer that was asked for the piece and has sent no byte of it does not keep it from being reserved any more. What
   * it sends may still win.
   */
  letGo(slot: number, piece: number): void {
    this.#fetches.letGo(slot, piece);
  }

  /** Ends a reservation without the piece; peers are asked for it from the next event on. */
  unreserve(slot: number, piece: number): void {
    this.#blobs.get(slot)?.unreserve(piece);
  }

  /**
   * We hold no piece of the blob any more; its requests and reservations are gone. What neighbours hold is unchanged:
   * take back what should not be asked for again with `peerUnshares`.
   */
  lost(slot: number): void {
    const blob = this.#blobs.get(slot);
    if (blob === undefined) return;
    this.#fetches.cancel(slot, ANY, ANY);
    blob.reset();
    this.#blobs.sort(slot);
  }

  /** A neighbour asks for a piece. @returns whether an upload slot was taken; then call `uploaded` once */
  admit(peer: number, slot: number, piece: number, _now: number): boolean {
    return this.#peers.known(peer) && this.has(slot, piece) && this.#uploads.take(peer);
  }

  /** An upload to the peer ended, however it did: its slot is free again. */
  uploaded(peer: number, now: number): void {
    this.#uploads.release(peer, now);
  }

  /** From now on at most so many uploads and downloads at a time, at least one; those under way go on. */
  limitSlots(uploads: number, downloads: number, now: number): void {
    this.#speed.limit(uploads, downloads, now);
    this.#choice.fill(now, ANY);
  }

  /** To be called about every 50 ms: suspicion, zones, pauses. */
  tick(now: number): void {
    this.#fetches.releaseStale(now);
    this.#speed.look(now);
    for (let i = 0; this.freeDownloads === 0 && i < this.#blobs.wanted.length; i++) {
      const blob = this.#blobs.get(this.#blobs.wanted[i]!)!;
      if (blob.inFlight > 0) continue;
      // Others use all slots: that is no sign that this blob's neighbours are of no use.
      blob.movedAt = now;
      blob.localAt = now;
    }
    this.#choice.fill(now, ANY);
    this.#uploads.tick(now);
  }

  /** Upload slots that the peer may have: what every message to it tells. */
  freeUploadsFor(peer: number): number {
    return this.#uploads.freeFor(peer);
  }

  /** Uploads under way. */
  get uploading(): number {
    return this.#uploads.active;
  }

  get freeDownloads(): number {
    return this.#fetches.free;
  }

  has(slot: number, piece: number): boolean {
    const blob = this.#blobs.get(slot);
    return blob !== undefined && piece >= 0 && piece < blob.pieces && blob.has(piece);
  }

  /** Whether the piece is neither here, nor asked of a peer, nor reserved. */
  wants(slot: number, piece: number): boolean {
    return this.#blobs.get(slot)?.wants(piece) === true;
  }

  /** Pieces of the blob that we hold. */
  held(slot: number): number {
    return this.#blobs.get(slot)?.count ?? 0;
  }

  /** Requests under way for the blob, late ones not counted. */
  inFlight(slot: number): number {
    return this.#blobs.get(slot)?.inFlight ?? 0;
  }

  /** Whether the peer shares the blob and lacks pieces of it that we hold. */
  peerLacks(peer: number, slot: number): boolean {
    const blob = this.#blobs.get(slot);
    const row = blob?.rowOf(peer) ?? -1;
    return row >= 0 && blob?.lacks(row) === true;
  }

  /** Neighbours known to hold the piece, supernodes and those that send wrong bytes not counted. */
  holders(slot: number, piece: number): number {
    return this.#blobs.get(slot)?.holders(piece) ?? 0;
  }

  /** When bytes of the blob last came from a peer, milliseconds; before that, when it was added. */
  progressedAt(slot: number): number {
    return this.#blobs.get(slot)?.progressedAt ?? 0;
  }

  /** The piece is here: tells the neighbours and cancels the copies that lost. */
  #gain(slot: number, piece: number): void {
    const blob = this.#blobs.get(slot);
    if (blob === undefined || piece < 0 || piece >= blob.pieces || blob.has(piece)) return;
    this.#fetches.cancel(slot, ANY, piece);
    blob.gain(piece);
    if (blob.complete) this.#blobs.sort(slot);
    this.actions.push(Action.have, -1, slot, piece, -1);
  }
}

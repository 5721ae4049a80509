import type { Bitfield } from '../core/bitfield.ts';
import type { Rng } from '../runtime/rng.ts';
import { Action, ActionBuffer } from './actions.ts';
import { Neighbours, type PeerKind } from './neighbours.ts';
import { DEFAULT_PEER_CORE_OPTIONS, type PeerCoreOptions } from './peer-core-options.ts';
import { RequestState, Requests } from './requests.ts';
import { SharedBlob } from './shared-blob.ts';
import { SlotList } from './slots.ts';
import { UploadSlots } from './upload-slots.ts';

/** Why a request ended without its piece. */
export type RequestFailure = 'busy' | 'unreachable' | 'missing' | 'corrupt' | 'local';

/** As a restriction of the choice: every peer. */
const ANYONE = -1;

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
  readonly actions = new ActionBuffer();
  readonly #options: PeerCoreOptions;
  readonly #rng: Rng;
  readonly #peers = new Neighbours();
  readonly #requests = new Requests();
  readonly #uploads: UploadSlots;
  readonly #blobSlots = new SlotList();
  readonly #blobs: (SharedBlob | undefined)[] = [];
  /** Incomplete blobs, most urgent first. */
  #wanted: number[] = [];
  #live = 0;
  /** Requests ever made. */
  #requested = 0;
  #pausedUntil = 0;
  /** Rows of the blob under decision that may be asked now. */
  #rows = new Int32Array(16);

  constructor(options: Partial<PeerCoreOptions>, rng: Rng) {
    this.#options = { ...DEFAULT_PEER_CORE_OPTIONS, ...options };
    this.#rng = rng;
    this.#uploads = new UploadSlots(
      {
        slots: this.#options.uploadSlots,
        keepMs: this.#options.keepMs,
        useful: (peer) => this.#usefulTo(peer),
      },
      this.#peers,
      this.actions,
    );
  }

  /**
   * A blob that we share, complete or not.
   * @param priority lower = sooner
   * @returns its number
   */
  addBlob(pieces: number, have: Bitfield | undefined, priority: number, now: number): number {
    const slot = this.#blobSlots.take();
    const blob = new SharedBlob(pieces, have, priority, now);
    this.#blobs[slot] = blob;
    if (!blob.have.complete) this.#want(slot);
    return slot;
  }

  setPriority(slot: number, priority: number, now: number): void {
    const blob = this.#blobs[slot];
    if (blob === undefined) return;
    blob.priority = priority;
    if (blob.have.complete) return;
    this.#unwant(slot);
    this.#want(slot);
    this.#fill(now, ANYONE);
  }

  /** In-order choice starts at this piece; what lies before it is taken in order when nothing after it can be had. */
  setCursor(slot: number, piece: number): void {
    this.#blobs[slot]?.setCursor(piece);
  }

  /** Cancels its requests. */
  removeBlob(slot: number, now: number): void {
    if (this.#blobs[slot] === undefined) return;
    this.#cancelWhere(slot, ANYONE);
    this.#unwant(slot);
    this.#blobs[slot] = undefined;
    this.#blobSlots.release(slot);
    this.#fill(now, ANYONE);
  }

  /** A neighbour; it has no free slots until it tells so. @returns its number */
  addPeer(kind: PeerKind, sameZone: boolean, _now: number): number {
    return this.#peers.add(kind, sameZone);
  }

  /** Cancels the requests to it, forgets its pieces and ends its uploads: do not call `uploaded` for it afterwards. */
  removePeer(peer: number, now: number): void {
    if (!this.#peers.known(peer)) return;
    for (let slot = 0; slot < this.#blobs.length; slot++) {
      this.#blobs[slot]?.removeSharer(peer, this.#peers.supernode[peer] === 0);
    }
    this.#cancelWhere(ANYONE, peer);
    this.#uploads.forget(peer, now);
    this.#peers.remove(peer);
    this.#fill(now, ANYONE);
  }

  /** The neighbour shares the blob: it holds or wants pieces. No piece of it is known yet. */
  peerShares(peer: number, slot: number): void {
    if (this.#peers.known(peer)) this.#blobs[slot]?.addSharer(peer);
  }

  /** It no longer does: what was asked of it for this blob is cancelled. */
  peerUnshares(peer: number, slot: number): void {
    if (!this.#peers.known(peer)) return;
    this.#blobs[slot]?.removeSharer(peer, this.#peers.supernode[peer] === 0);
    this.#cancelWhere(slot, peer);
  }

  peerHas(peer: number, slot: number, piece: number, now: number): void {
    const blob = this.#blobs[slot];
    const row = blob?.rowOf(peer) ?? -1;
    if (blob === undefined || row < 0 || piece < 0 || piece >= blob.pieces) return;
    blob.setPeerHas(row, piece, this.#peers.supernode[peer] === 0);
    if (blob.wants(piece)) this.#fill(now, peer);
  }

  /**
   * Its free slots, as any of its messages tells. `hungry`: it waits for an upload slot of ours (false changes nothing).
   */
  peerSlots(peer: number, up: number, _down: number, hungry: boolean, now: number): void {
    const peers = this.#peers;
    if (!peers.known(peer)) return;
    peers.up[peer] = up;
    peers.mostUp[peer] = Math.max(up, peers.mostUp[peer]!);
    if (hungry) this.#uploads.wait(peer, now);
    else this.#uploads.pass(peer, now);
    if (up === 0) return;
    const waited = peers.waitsUntil[peer]! > 0;
    peers.waitsUntil[peer] = 0;
    const asked = this.#requested;
    this.#fill(now, peer);
    // It keeps a slot for us, because we waited for one: it should know that we do not need it any more.
    if (waited && asked === this.#requested) this.actions.push(Action.slots, peer, -1, -1, -1);
  }

  /** A supernode offers a piece: answered by a request or a decline action. */
  offered(peer: number, slot: number, piece: number, now: number): void {
    const peers = this.#peers;
    const blob = this.#blobs[slot];
    const row = blob?.rowOf(peer) ?? -1;
    peers.waitsUntil[peer] = 0;
    if (blob !== undefined && row >= 0 && piece >= 0 && piece < blob.pieces) {
      blob.setPeerHas(row, piece, peers.supernode[peer] === 0);
      if (this.freeDownloads > 0 && now >= this.#pausedUntil && blob.wants(piece) && peers.trusted(peer, now)) {
        this.#request(peer, slot, blob, piece, now);
        return;
      }
    }
    this.actions.push(Action.decline, peer, slot, piece, -1);
  }

  /** Bytes arrived for the request. */
  progressed(request: number, now: number): void {
    if (!this.#requests.known(request)) return;
    this.#moved(request, now);
    const requests = this.#requests;
    const peer = requests.peer[request]!;
    if (requests.state[request] === RequestState.live) return;
    if (requests.state[request] === RequestState.late) {
      requests.state[request] = RequestState.moving;
      this.#peers.late[peer]!--;
      this.#peers.blockedUntil[peer] = now;
    }
    const blob = this.#blobs[requests.blob[request]!]!;
    if (this.freeDownloads > 0 && blob.wants(requests.piece[request]!)) {
      requests.state[request] = RequestState.live;
      blob.setBusy(requests.piece[request]!);
      blob.inFlight++;
      this.#live++;
    }
    this.#fill(now, peer);
  }

  /** The piece is verified and stored. */
  received(request: number, now: number): void {
    const requests = this.#requests;
    if (!requests.known(request)) return;
    const peer = requests.peer[request]!;
    const slot = requests.blob[request]!;
    this.#moved(request, now);
    if (requests.state[request] === RequestState.late) this.#peers.blockedUntil[peer] = now;
    this.#end(request);
    this.#peers.strikes[peer] = 0;
    this.#gain(slot, requests.piece[request]!);
    // The slot that we used is kept for us, until we say that we do not need it.
    this.#peers.up[peer]!++;
    const free = this.#peers.up[peer]!;
    this.#fill(now, ANYONE);
    if (this.#peers.up[peer] === free && this.#peers.supernode[peer] === 0) {
      this.#peers.up[peer]!--;
      this.actions.push(Action.slots, peer, -1, -1, -1);
    }
  }

  failed(request: number, reason: RequestFailure, now: number): void {
    const requests = this.#requests;
    if (!requests.known(request)) return;
    const peers = this.#peers;
    const peer = requests.peer[request]!;
    const blob = this.#blobs[requests.blob[request]!]!;
    const row = blob.rowOf(peer);
    this.#end(request);
    if (reason === 'busy') {
      peers.up[peer] = 0;
      // Whoever refuses us knows that we wait.
      peers.waitsUntil[peer] = now + this.#options.waitRepeatMs;
    }
    if (reason === 'unreachable') this.#strike(peer, now);
    else if (reason === 'corrupt') peers.banned[peer] = 1;
    else if (reason === 'local') this.#pausedUntil = now + this.#options.localPauseMs;
    else if (reason === 'missing' && row >= 0) blob.clearPeerHas(row, requests.piece[request]!, peers.supernode[peer] === 0);
    this.#fill(now, ANYONE);
  }

  /** The piece is here, verified and stored, from somewhere else (registry). Requests for it are cancelled. */
  obtained(slot: number, piece: number, now: number): void {
    this.#gain(slot, piece);
    this.#fill(now, ANYONE);
  }

  /**
   * Keeps the piece from being asked of peers, because the caller is about to read it from the registry.
   * @returns false when it is here, asked of a peer or reserved already
   */
  reserve(slot: number, piece: number): boolean {
    const blob = this.#blobs[slot];
    if (blob === undefined || !blob.wants(piece)) return false;
    blob.setBusy(piece);
    blob.reserved.add(piece);
    return true;
  }

  /** Ends a reservation without the piece; peers are asked for it from the next event on. */
  unreserve(slot: number, piece: number): void {
    const blob = this.#blobs[slot];
    if (blob?.reserved.delete(piece) === true) blob.clearBusy(piece);
  }

  /**
   * We hold no piece of the blob any more; its requests and reservations are gone. What neighbours hold is unchanged:
   * take back what should not be asked for again with `peerUnshares`.
   */
  lost(slot: number): void {
    const blob = this.#blobs[slot];
    if (blob === undefined) return;
    this.#cancelWhere(slot, ANYONE);
    this.#unwant(slot);
    blob.reset();
    if (!blob.have.complete) this.#want(slot);
  }

  /** A neighbour asks for a piece. @returns whether an upload slot was taken; then call `uploaded` once */
  admit(peer: number, slot: number, piece: number, _now: number): boolean {
    return this.#peers.known(peer) && this.has(slot, piece) && this.#uploads.take(peer);
  }

  /** An upload to the peer ended, however it did: its slot is free again. */
  uploaded(peer: number, now: number): void {
    this.#uploads.release(peer, now);
  }

  /** To be called about every 100 ms: suspicion, zones, pauses. */
  tick(now: number): void {
    const requests = this.#requests;
    for (let request = 0; request < requests.end; request++) {
      if (now - requests.progressAt[request]! > this.#options.suspectMs) this.#suspect(request, now);
    }
    for (let i = 0; this.freeDownloads === 0 && i < this.#wanted.length; i++) {
      const blob = this.#blobs[this.#wanted[i]!]!;
      if (blob.inFlight > 0) continue;
      // Others use all slots: that is no sign that this blob's neighbours are of no use.
      blob.movedAt = now;
      blob.localAt = now;
    }
    this.#fill(now, ANYONE);
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
    return Math.max(0, this.#options.downloadSlots - this.#live);
  }

  has(slot: number, piece: number): boolean {
    const blob = this.#blobs[slot];
    return blob !== undefined && piece >= 0 && piece < blob.pieces && blob.have.has(piece);
  }

  /** Pieces of the blob that we hold. */
  held(slot: number): number {
    return this.#blobs[slot]?.have.count ?? 0;
  }

  /** Requests under way for the blob, late ones not counted. */
  inFlight(slot: number): number {
    return this.#blobs[slot]?.inFlight ?? 0;
  }

  /** Neighbours known to hold the piece, supernodes not counted. */
  holders(slot: number, piece: number): number {
    return this.#blobs[slot]?.holders[piece] ?? 0;
  }

  /** When bytes of the blob last came from a peer, milliseconds; before that, when it was added. */
  progressedAt(slot: number): number {
    return this.#blobs[slot]?.progressedAt ?? 0;
  }

  /** Makes requests until the slots are full or nothing can be had. @param only the one peer with news, or ANYONE */
  #fill(now: number, only: number): void {
    if (this.freeDownloads === 0 || now < this.#pausedUntil) return;
    for (let i = 0; i < this.#wanted.length; i++) {
      const slot = this.#wanted[i]!;
      const blob = this.#blobs[slot]!;
      while (this.#choose(slot, blob, now, only)) if (this.freeDownloads === 0) return;
    }
    for (let i = 0; i < this.#wanted.length; i++) this.#waitForSlots(this.#blobs[this.#wanted[i]!]!, now, only);
  }

  /** Makes one request for the blob. @returns whether there was one to make */
  #choose(slot: number, blob: SharedBlob, now: number, only: number): boolean {
    if (this.#rows.length < blob.rows) this.#rows = new Int32Array(blob.sharers.length);
    const peers = this.#peers;
    let count = 0;
    for (let row = only === ANYONE ? 0 : blob.rowOf(only); row >= 0 && row < blob.rows; row++) {
      if (this.#mayAsk(blob, blob.sharers[row]!, now)) this.#rows[count++] = row;
      if (only !== ANYONE) break;
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
      const score = peers.score(peer);
      if (score >= bestScore) continue;
      best = peer;
      bestScore = score;
    }
    this.#request(best, slot, blob, piece, now);
    return true;
  }

  /** Whether we hold a piece that the neighbour lacks, of a blob that we share with it. */
  #usefulTo(peer: number): boolean {
    for (let slot = 0; slot < this.#blobs.length; slot++) {
      const row = this.#blobs[slot]?.rowOf(peer) ?? -1;
      if (row >= 0 && this.#blobs[slot]!.lacks(row)) return true;
    }
    return false;
  }

  #mayAsk(blob: SharedBlob, peer: number, now: number): boolean {
    const peers = this.#peers;
    if (!peers.askable(peer, now)) return false;
    if (peers.supernode[peer] === 1) return now - blob.movedAt >= this.#options.askSupernodeAfterMs;
    return this.#zoneOpen(blob, peer, now);
  }

  #zoneOpen(blob: SharedBlob, peer: number, now: number): boolean {
    return this.#peers.sameZone[peer] === 1 || now - blob.localAt >= this.#options.remoteAfterMs;
  }

  /** Tells those who have what we want, but no free slot, and supernodes, that we have free slots ourselves. */
  #waitForSlots(blob: SharedBlob, now: number, only: number): void {
    const peers = this.#peers;
    for (let row = only === ANYONE ? 0 : blob.rowOf(only); row >= 0 && row < blob.rows; row++) {
      const peer = blob.sharers[row]!;
      if (now >= peers.waitsUntil[peer]! && peers.trusted(peer, now)) {
        const waits =
          peers.supernode[peer] === 1
            ? blob.wantsAny()
            : peers.up[peer] === 0 && this.#zoneOpen(blob, peer, now) && blob.useful(row);
        if (waits) {
          peers.waitsUntil[peer] = now + this.#options.waitRepeatMs;
          this.actions.push(Action.hungry, peer, -1, -1, -1);
        }
      }
      if (only !== ANYONE) break;
    }
  }

  #request(peer: number, slot: number, blob: SharedBlob, piece: number, now: number): void {
    const request = this.#requests.add(peer, slot, piece, now);
    this.#peers.up[peer] = Math.max(0, this.#peers.up[peer]! - 1);
    blob.setBusy(piece);
    blob.inFlight++;
    this.#live++;
    this.#requested++;
    blob.movedAt = now;
    this.actions.push(Action.request, peer, slot, piece, request);
  }

  /** Takes a request out of the tables; its piece can be asked for again. */
  #end(request: number): void {
    const requests = this.#requests;
    if (requests.state[request] === RequestState.late) this.#peers.late[requests.peer[request]!]!--;
    if (requests.state[request] === RequestState.live) this.#release(request);
    requests.remove(request);
  }

  /** A live request gives its slot and its piece back. */
  #release(request: number): void {
    const blob = this.#blobs[this.#requests.blob[request]!]!;
    blob.clearBusy(this.#requests.piece[request]!);
    blob.inFlight--;
    this.#live--;
  }

  /** No byte for too long: the slot is free at once, the peer is avoided, the copy may still win. */
  #suspect(request: number, now: number): void {
    const requests = this.#requests;
    const state = requests.state[request];
    if (state !== RequestState.live && state !== RequestState.moving) return;
    if (state === RequestState.live) this.#release(request);
    requests.state[request] = RequestState.late;
    this.#peers.late[requests.peer[request]!]!++;
    this.#strike(requests.peer[request]!, now);
  }

  #strike(peer: number, now: number): void {
    const { backoffMs, maxBackoffMs } = this.#options;
    const strikes = this.#peers.strikes[peer]!++;
    this.#peers.blockedUntil[peer] = now + Math.min(maxBackoffMs, backoffMs * 2 ** Math.min(strikes, 30));
  }

  #moved(request: number, now: number): void {
    const peer = this.#requests.peer[request]!;
    const blob = this.#blobs[this.#requests.blob[request]!]!;
    this.#requests.progressAt[request] = now;
    blob.progressedAt = now;
    blob.movedAt = now;
    if (this.#peers.sameZone[peer] === 1 || this.#peers.supernode[peer] === 1) blob.localAt = now;
  }

  /** The piece is here: tells the neighbours and cancels the copies that lost. */
  #gain(slot: number, piece: number): void {
    const blob = this.#blobs[slot];
    if (blob === undefined || piece < 0 || piece >= blob.pieces || blob.have.has(piece)) return;
    this.#cancelWhere(slot, ANYONE, piece);
    blob.gain(piece);
    if (blob.have.complete) this.#unwant(slot);
    this.actions.push(Action.have, -1, slot, piece, -1);
  }

  /** Cancels the requests of one blob, to one peer, for one piece; ANYONE = every one. */
  #cancelWhere(slot: number, peer: number, piece = ANYONE): void {
    const requests = this.#requests;
    for (let request = requests.end - 1; request >= 0; request--) {
      if (requests.state[request] === RequestState.free) continue;
      if (slot !== ANYONE && requests.blob[request] !== slot) continue;
      if (peer !== ANYONE && requests.peer[request] !== peer) continue;
      if (piece !== ANYONE && requests.piece[request] !== piece) continue;
      this.actions.push(
        Action.cancel,
        requests.peer[request]!,
        requests.blob[request]!,
        requests.piece[request]!,
        request,
      );
      this.#end(request);
    }
  }

  #want(slot: number): void {
    const priority = this.#blobs[slot]!.priority;
    let at = 0;
    while (at < this.#wanted.length && this.#blobs[this.#wanted[at]!]!.priority <= priority) at++;
    this.#wanted.splice(at, 0, slot);
  }

  #unwant(slot: number): void {
    const at = this.#wanted.indexOf(slot);
    if (at >= 0) this.#wanted.splice(at, 1);
  }
}

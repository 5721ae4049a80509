import { BoundedMap } from '../../core/bounded-map.ts';
import { abortedError } from '../../core/errors.ts';
import type { BlobOrigin, PeerInfo } from '../../core/node.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { Clock } from '../../runtime/clock.ts';
import { LISTEN_MS } from '../../swarm/reading-plan.ts';
import { Came, type CameValue } from '../../swarm/seed-blob.ts';
import { isUndivided } from '../../swarm/stripes.ts';
import type { PeerMessage, Slots } from '../../wire/peer-messages.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { originTold, tellOrigin } from '../origin-told.ts';
import { blobMeant, type Neighbour } from '../peers/neighbour.ts';
import type { ProofTeller } from '../proofs/proof-teller.ts';
import { refuseToRead } from './node-requests.ts';
import { Ownership } from './ownership.ts';

/** So long a tracker has to say who reads which stripes, milliseconds; then we read them all. */
const NAMED_MS = 3000;
/** Another site's supernode that has no link to us for so long, milliseconds, is cut off. */
const OUT_OF_REACH_MS = 3000;
/** An owner whose link is lost for so long reads no more, should no tracker be there to say so; milliseconds. */
const LOST_MS = 3000;
/** Supernodes that were lost, and blobs that could not be taken in: those remembered. */
const MAX_LOST = 256;
const MAX_UNTAKEN = 1024;

export interface CoOwnersDeps {
  readonly clock: Clock;
  readonly discovery: Discovery;
}

export interface CoOwnersHost {
  readonly proofs: ProofTeller;
  self(): PeerInfo;
  slots(): Slots;
  linked(id: string): Neighbour | undefined;
  supernodes(): readonly Neighbour[];
  connect(peer: PeerInfo): void;
  blob(digest: SharedBlob['digest']): SharedBlob | undefined;
  blobs(): readonly SharedBlob[];
  /** The blob if it is shared now or in the store. */
  recall(digest: SharedBlob['digest']): Promise<SharedBlob | undefined>;
  disown(blob: SharedBlob, generations: readonly string[]): void;
  /** The blob, shared from now on because another site wants it. */
  share(digest: SharedBlob['digest'], size: number): Promise<SharedBlob | undefined>;
  /** Reads what is ours to read of it. */
  read(blob: SharedBlob, origin: BlobOrigin): void;
}

/**
 * The supernodes that read a blob between them: who reads which stripes, as the tracker has it, and what each of them
 * holds by now. Each tells the others of every piece, so that what one leaves behind is read once more only where nobody
 * has it.
 */
export class CoOwners {
  readonly #deps: CoOwnersDeps;
  readonly #host: CoOwnersHost;
  readonly #ownerships = new WeakMap<SharedBlob, Ownership>();
  /** Supernodes whose links are lost -> since when, milliseconds. */
  readonly #lostMs = new BoundedMap<number>(MAX_LOST);
  /** Blobs that could not be taken in -> why. */
  readonly #untaken = new BoundedMap<unknown>(MAX_UNTAKEN);

  constructor(deps: CoOwnersDeps, host: CoOwnersHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /**
   * Before the first read: asks who owns the blob too, tells those that it comes from where it can be read, and waits a
   * little for what they hold. @throws ABORTED
   */
  async meetAll(blob: SharedBlob, origins: readonly BlobOrigin[], signal: AbortSignal): Promise<void> {
    const { reachable, supernodes } = this.#deps.discovery;
    const alone = !reachable && !supernodes.some(({ id }) => id !== this.#host.self().id);
    if (this.#isOneReaders(blob) || alone) return;
    const ownership = this.#of(blob);
    this.ask(blob);
    await this.#until(blob, () => ownership.isNamed, NAMED_MS, signal);
    const all = (): boolean => {
      this.seek(blob, origins);
      return ownership.hasHeardAll;
    };
    await this.#until(blob, all, LISTEN_MS, signal);
  }

  /** Asks who owns the blob. */
  ask(blob: SharedBlob): void {
    const { digest, info, stored } = blob;
    if (stored.complete || this.#isOneReaders(blob)) return;
    const have = stored.have.count > 0 ? 'some' : 'none';
    this.#deps.discovery.announce([{ digest, size: info.size, have }]);
  }

  /** Whoever is asked for it reads it alone: it is small, and there is one site. */
  #isOneReaders({ info }: SharedBlob): boolean {
    const { zone } = this.#host.self();
    return isUndivided(info.size) && this.#deps.discovery.supernodes.every((each) => each.zone === zone);
  }

  /**
   * The tracker's answer, or the DHT's, whose members take one that is busy for gone: owners that lost sight of each other
   * would each read all. While it is linked it reads, whoever thinks otherwise.
   */
  named(blob: SharedBlob, told: readonly PeerInfo[]): void {
    if (this.#losesSight(blob, told)) return;
    for (const peer of this.#of(blob).named(told)) {
      const linked = this.#host.linked(peer.id);
      if (linked !== undefined) this.#exchange(linked, blob);
      else this.#host.connect(peer);
    }
    blob.changed();
  }

  /** Sees to links to those from whom we bring the blob into our site, and tells them where it can be read. */
  seek(blob: SharedBlob, origins: readonly BlobOrigin[]): void {
    const ownership = this.#of(blob);
    for (const source of ownership.sources) {
      const linked = this.#host.linked(source.id);
      ownership.reach(source.id, linked !== undefined, this.#deps.clock.now(), OUT_OF_REACH_MS);
      if (linked === undefined) {
        this.#host.connect(source);
        continue;
      }
      this.#exchange(linked, blob);
      for (const origin of ownership.news(linked, origins)) tellOrigin(linked, blob.handle, origin);
    }
  }

  /** A link to another supernode is there. */
  up(neighbour: Neighbour, blobs: readonly SharedBlob[]): void {
    this.#lostMs.delete(neighbour.peer.id);
    for (const blob of blobs) {
      if (this.#of(blob).isOwner(neighbour.peer.id)) this.#exchange(neighbour, blob);
    }
  }

  down(neighbour: Neighbour, blobs: readonly SharedBlob[]): void {
    this.#lostMs.set(neighbour.peer.id, this.#deps.clock.now());
    for (const blob of blobs) {
      const ownership = this.#of(blob);
      ownership.left(neighbour);
      // Its turns may have been kept for it.
      if (ownership.isOwner(neighbour.peer.id)) this.ask(blob);
    }
  }

  /** There is no room for the blob: the others read our stripes of it. */
  untaken(digest: SharedBlob['digest'], error: unknown): void {
    this.#untaken.set(digest, error);
    for (const neighbour of this.#host.supernodes()) refuseToRead(neighbour, digest, error);
  }

  /** One message from another supernode. */
  async hear(neighbour: Neighbour, message: PeerMessage): Promise<void> {
    switch (message.type) {
      case 'open': {
        neighbour.noteOpen(message.handle, message);
        const { digest } = message;
        const blob = this.#host.blob(digest) ?? (await this.#host.recall(digest));
        if (this.#host.linked(neighbour.peer.id) !== neighbour) return;
        if (blob === undefined) {
          const why = this.#untaken.get(digest);
          if (why !== undefined) refuseToRead(neighbour, digest, why);
          return;
        }
        // Whatever was in its way before.
        this.#of(blob).recovered(neighbour.peer.id);
        if (blob.info.size === message.size && blob.info.pieceBytes === message.pieceBytes) {
          this.#exchange(neighbour, blob);
        }
        return;
      }
      case 'close': {
        const digest = neighbour.noteClose(message.handle);
        const blob = digest === undefined ? undefined : this.#host.blob(digest);
        if (blob !== undefined) this.#of(blob).left(neighbour);
        return;
      }
      case 'origin': {
        const theirs = neighbour.theirBlob(message.handle);
        if (theirs === undefined) return;
        const origin = originTold(neighbour, message);
        const blob = await this.#host.share(theirs.digest, theirs.size).catch((error: unknown) => {
          this.untaken(theirs.digest, error);
          throw error;
        });
        if (blob === undefined || this.#host.linked(neighbour.peer.id) !== neighbour) return;
        if (blob.info.pieceBytes !== theirs.pieceBytes || blob.info.size !== theirs.size) return;
        this.#of(blob).importedBy(neighbour);
        this.#exchange(neighbour, blob);
        this.#host.read(blob, origin);
        return;
      }
      case 'have': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined) return;
        const pieces = this.#of(blob).heldBy(neighbour);
        for (const proof of message.proofs) if (blob.learn(proof, neighbour.peer)) pieces.set(proof.index);
        blob.changed();
        return;
      }
      case 'wrong': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined || !this.#of(blob).isOwner(neighbour.peer.id)) return;
        // What it holds from now on it will tell anew.
        this.#of(blob).lost(neighbour);
        this.#host.disown(blob, message.generations);
        return;
      }
      case 'origin-failed': {
        const blob = this.#host.blobs().find((each) => each.handle === message.handle);
        if (blob !== undefined) this.#of(blob).failed(neighbour.peer.id);
        return;
      }
      case 'traced':
        neighbour.noteTraced(message.handle, message.traceparent);
        return;
      // Supernodes make each other no offers; papers have been seen.
      case 'hello':
      case 'slots':
      case 'offer':
      case 'decline':
      case 'want':
      case 'voucher':
      case 'evidence':
      case 'capability':
      case 'reverse':
    }
  }

  /** See the methods of {@link Ownership} of the same names. */
  mine(blob: SharedBlob, piece: number): boolean {
    return this.#of(blob).mine(piece);
  }

  brings(blob: SharedBlob, piece: number): boolean {
    return this.#of(blob).brings(piece);
  }

  /** How a piece that has just come did so. */
  cameBy(blob: SharedBlob, piece: number): CameValue {
    const ownership = this.#of(blob);
    if (ownership.mine(piece)) return Came.read;
    return ownership.brings(piece) ? Came.brought : Came.copied;
  }

  haveSites(blob: SharedBlob): boolean {
    return this.#of(blob).hasSites;
  }

  bringer(blob: SharedBlob, piece: number, mayAsk: (from: Neighbour) => boolean): Neighbour | undefined {
    return this.#of(blob).bringer(piece, mayAsk);
  }

  holder(blob: SharedBlob, piece: number): Neighbour | undefined {
    return this.#of(blob).holder(piece);
  }

  holders(blob: SharedBlob, piece: number): number {
    return this.#of(blob).holders(piece);
  }

  awaited(blob: SharedBlob, piece: number): boolean {
    return this.#of(blob).awaited(piece);
  }

  isWanted(blob: SharedBlob): boolean {
    return this.#of(blob).isWanted;
  }

  /** It has not got the piece after all. */
  lacks(neighbour: Neighbour, blob: SharedBlob, piece: number): void {
    this.#of(blob).lacks(neighbour, piece);
  }

  undivided(blob: SharedBlob): boolean {
    return this.#of(blob).undivided();
  }

  /** We hold a new piece. */
  landed(blob: SharedBlob, piece: number): void {
    for (const neighbour of this.#host.supernodes()) {
      if (neighbour.sharesWithUs(blob.digest)) this.#sendHave(neighbour, blob, [piece]);
    }
  }

  /** Nobody believes in what was read any more. */
  forget(blob: SharedBlob): void {
    this.#of(blob).forget();
  }

  #exchange(neighbour: Neighbour, blob: SharedBlob): void {
    neighbour.openOurs(blob.handle, blob.info);
    if (!neighbour.meet(blob.info)) return;
    const { have } = blob.stored;
    const held = Array.from({ length: have.count === 0 ? 0 : blob.info.pieces }, (_, piece) => piece);
    this.#sendHave(
      neighbour,
      blob,
      held.filter((piece) => have.has(piece)),
    );
    blob.changed();
  }

  #sendHave(neighbour: Neighbour, blob: SharedBlob, pieces: readonly number[]): void {
    const proofs = this.#host.proofs.prepare(neighbour, blob, pieces);
    neighbour.send({ type: 'have', handle: blob.handle, proofs, slots: this.#host.slots() });
  }

  #meant(neighbour: Neighbour, handle: number): SharedBlob | undefined {
    return blobMeant(neighbour, handle, (digest) => this.#host.blob(digest));
  }

  #of(blob: SharedBlob): Ownership {
    let ownership = this.#ownerships.get(blob);
    if (ownership === undefined) {
      ownership = new Ownership(
        blob.info,
        () => this.#host.self(),
        (id) => this.#isLost(id),
      );
      this.#ownerships.set(blob, ownership);
    }
    return ownership;
  }

  /** Whether that owner is gone, as far as no tracker deals out its turns. */
  #isLost(id: string): boolean {
    if (this.#lostMs.size === 0 || this.#deps.discovery.reachable) return false;
    const sinceMs = this.#lostMs.get(id);
    return sinceMs !== undefined && this.#deps.clock.now() - sinceMs >= LOST_MS;
  }

  /** Whether one that owned the blob and shares it with us is not named any more, because nobody knows that it lives. */
  #losesSight(blob: SharedBlob, told: readonly PeerInfo[]): boolean {
    const { supernodes } = this.#deps.discovery;
    const ownership = this.#of(blob);
    return this.#host.supernodes().some((neighbour) => {
      const { id } = neighbour.peer;
      const known = told.some((each) => each.id === id) || supernodes.some((each) => each.id === id);
      return !known && ownership.isOwner(id) && neighbour.sharesWithUs(blob.digest);
    });
  }

  /** Waits until the blob's changes have made it true, at most so long. @throws ABORTED */
  async #until(blob: SharedBlob, done: () => boolean, mostMs: number, signal: AbortSignal): Promise<void> {
    const late = new AbortController();
    const cancel = this.#deps.clock.after(mostMs, () => late.abort());
    const either = AbortSignal.any([signal, late.signal]);
    try {
      while (!done() && !late.signal.aborted) await blob.nextChange(either);
    } catch (error) {
      if (signal.aborted || !late.signal.aborted) throw error;
    } finally {
      cancel();
    }
    if (signal.aborted) throw abortedError(signal);
  }
}

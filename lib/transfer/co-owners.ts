import { Bitfield } from '../core/bitfield.ts';
import { BoundedMap } from '../core/bounded-map.ts';
import { abortedError } from '../core/errors.ts';
import type { PeerInfo } from '../core/node.ts';
import type { Discovery } from '../discovery/discovery.ts';
import type { Clock } from '../runtime/clock.ts';
import { LISTEN_MS } from '../swarm/reading-plan.ts';
import { dealTurns, isUndivided, readerOf } from '../swarm/stripes.ts';
import type { PeerMessage, Slots } from '../wire/peer-messages.ts';
import { blobMeant, type Neighbour } from './neighbour.ts';
import { refuseToRead } from './node-requests.ts';
import type { ProofTeller } from './proof-teller.ts';
import type { SharedBlob } from './shared-blob.ts';

/** So long a tracker has to say who reads which stripes, milliseconds; then we read them all. */
const NAMED_MS = 3000;
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
  selfId(): string;
  slots(): Slots;
  linked(id: string): Neighbour | undefined;
  supernodes(): readonly Neighbour[];
  connect(peer: PeerInfo): void;
  blob(digest: SharedBlob['digest']): SharedBlob | undefined;
  blobs(): readonly SharedBlob[];
  /** The blob if it is shared now or in the store. */
  recall(digest: SharedBlob['digest']): Promise<SharedBlob | undefined>;
  disown(blob: SharedBlob, generations: readonly string[]): void;
}

/** What is known of one blob and its owners. */
interface Ownership {
  /** Turn -> id of the supernode that reads in it; undefined until a tracker said so. */
  turns: readonly string[] | undefined;
  /** Those who said that they cannot read it. */
  readonly failed: Set<string>;
  /** The registry sends no parts: the owner of the first turn reads all. */
  undivided: boolean;
  /** What other supernodes say they hold. */
  readonly held: Map<Neighbour, Bitfield>;
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

  /** Before the first read: asks who owns the blob too, and waits a little for what they hold. @throws ABORTED */
  async meetAll(blob: SharedBlob, signal: AbortSignal): Promise<void> {
    const { reachable, supernodes } = this.#deps.discovery;
    const alone = !reachable && !supernodes.some(({ id }) => id !== this.#host.selfId());
    if (isUndivided(blob.info.size) || alone) return;
    const ownership = this.#of(blob);
    this.ask(blob);
    await this.#until(blob, () => ownership.turns !== undefined, NAMED_MS, signal);
    const all = (): boolean => this.#others(ownership).every((id) => heard(ownership, id));
    await this.#until(blob, all, LISTEN_MS, signal);
  }

  /** Asks who owns the blob. */
  ask(blob: SharedBlob): void {
    const { digest, info, stored } = blob;
    if (stored.complete || isUndivided(info.size)) return;
    const have = stored.have.count > 0 ? 'some' : 'none';
    this.#deps.discovery.announce([{ digest, size: info.size, have }]);
  }

  /** The tracker's answer. */
  named(blob: SharedBlob, turns: readonly PeerInfo[]): void {
    const ownership = this.#of(blob);
    // A tracker of another version names nobody.
    ownership.turns = turns.length === 0 ? [this.#host.selfId()] : turns.map(({ id }) => id);
    ownership.failed.clear();
    for (const peer of new Set(turns)) {
      const linked = this.#host.linked(peer.id);
      if (linked !== undefined) this.#exchange(linked, blob);
      else if (peer.id !== this.#host.selfId()) this.#host.connect(peer);
    }
    blob.changed();
  }

  /** A link to another supernode is there. */
  up(neighbour: Neighbour, blobs: readonly SharedBlob[]): void {
    this.#lostMs.delete(neighbour.peer.id);
    for (const blob of blobs) {
      if (this.#of(blob).turns?.includes(neighbour.peer.id) === true) this.#exchange(neighbour, blob);
    }
  }

  down(neighbour: Neighbour, blobs: readonly SharedBlob[]): void {
    this.#lostMs.set(neighbour.peer.id, this.#deps.clock.now());
    for (const blob of blobs) this.#of(blob).held.delete(neighbour);
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
        this.#of(blob).failed.delete(neighbour.peer.id);
        if (blob.info.size === message.size && blob.info.pieceBytes === message.pieceBytes) {
          this.#exchange(neighbour, blob);
        }
        return;
      }
      case 'close': {
        const digest = neighbour.noteClose(message.handle);
        const blob = digest === undefined ? undefined : this.#host.blob(digest);
        if (blob !== undefined) this.#of(blob).held.delete(neighbour);
        return;
      }
      case 'have': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined) return;
        const { held } = this.#of(blob);
        const pieces = held.get(neighbour) ?? new Bitfield(blob.info.pieces);
        held.set(neighbour, pieces);
        for (const proof of message.proofs) if (blob.learn(proof, neighbour.peer)) pieces.set(proof.index);
        blob.changed();
        return;
      }
      case 'wrong': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined || this.#of(blob).turns?.includes(neighbour.peer.id) !== true) return;
        // What it holds from now on it will tell anew.
        this.#of(blob).held.delete(neighbour);
        this.#host.disown(blob, message.generations);
        return;
      }
      case 'origin-failed': {
        const blob = this.#host.blobs().find((each) => each.handle === message.handle);
        if (blob !== undefined) this.#of(blob).failed.add(neighbour.peer.id);
        return;
      }
      // Supernodes make each other no offers; papers have been seen.
      case 'hello':
      case 'slots':
      case 'offer':
      case 'decline':
      case 'origin':
      case 'voucher':
      case 'evidence':
      case 'capability':
    }
  }

  /** Whether the piece is ours to read from the registry. */
  mine(blob: SharedBlob, piece: number): boolean {
    const { failed, turns: dealt, undivided } = this.#of(blob);
    if (dealt === undefined) return true;
    const away = this.#lost(dealt, failed);
    const turns = away.size === 0 ? dealt : withoutThose(dealt, away);
    return (undivided ? turns[0] : readerOf(turns, blob.info, piece)) === this.#host.selfId();
  }

  /** Other supernodes that hold the piece. */
  holders(blob: SharedBlob, piece: number): number {
    let holders = 0;
    for (const pieces of this.#of(blob).held.values()) if (pieces.has(piece)) holders++;
    return holders;
  }

  /** One of them. */
  holder(blob: SharedBlob, piece: number): Neighbour | undefined {
    for (const [neighbour, pieces] of this.#of(blob).held) if (pieces.has(piece)) return neighbour;
    return undefined;
  }

  /** It has not got the piece after all. */
  lacks(neighbour: Neighbour, blob: SharedBlob, piece: number): void {
    this.#of(blob).held.get(neighbour)?.clear(piece);
  }

  /** The registry sends no parts of this blob. @returns whether that changes who reads what */
  undivided(blob: SharedBlob): boolean {
    const ownership = this.#of(blob);
    const news = !ownership.undivided && this.#others(ownership).length > 0;
    ownership.undivided = true;
    return news;
  }

  /** We hold a new piece. */
  landed(blob: SharedBlob, piece: number): void {
    for (const neighbour of this.#host.supernodes()) {
      if (neighbour.sharesWithUs(blob.digest)) this.#sendHave(neighbour, blob, [piece]);
    }
  }

  /** Nobody believes in what was read any more. */
  forget(blob: SharedBlob): void {
    this.#of(blob).held.clear();
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
      ownership = { turns: undefined, failed: new Set(), undivided: false, held: new Map() };
      this.#ownerships.set(blob, ownership);
    }
    return ownership;
  }

  /** Those and the owners that are gone, as far as no tracker deals out their turns. */
  #lost(turns: readonly string[], failed: ReadonlySet<string>): ReadonlySet<string> {
    if (this.#lostMs.size === 0 || this.#deps.discovery.reachable) return failed;
    const before = this.#deps.clock.now() - LOST_MS;
    return new Set([
      ...failed,
      ...turns.filter((id) => (this.#lostMs.get(id) ?? Number.POSITIVE_INFINITY) <= before),
    ]);
  }

  #others({ turns = [] }: Ownership): string[] {
    return [...new Set(turns)].filter((id) => id !== this.#host.selfId());
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

/** The others read in their turns. */
function withoutThose(turns: readonly string[], failed: ReadonlySet<string>): readonly string[] {
  const others = turns.filter((id) => !failed.has(id));
  return dealTurns(
    turns.map((id) => (failed.has(id) ? undefined : id)),
    others,
    others.length,
  );
}

/** Whether it has said what it holds, were it nothing. */
function heard({ held }: Ownership, id: string): boolean {
  return [...held.keys()].some(({ peer }) => peer.id === id);
}

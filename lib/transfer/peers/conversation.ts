import { describeError } from '../../core/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { PeerCore } from '../../swarm/peer-core.ts';
import type { PeerMessage, Slots } from '../../wire/peer-messages.ts';
import { isGranted, type SharedBlob } from '../blobs/shared-blob.ts';
import { tellOrigin } from '../origin-told.ts';
import type { ProofTeller } from '../proofs/proof-teller.ts';
import { blobMeant, type Neighbour } from './neighbour.ts';

/** News of a blob goes out at once; what follows within this time waits for its end and travels together. */
const HAVE_PAUSE_MS = 10;

export interface ConversationHost {
  readonly proofs: ProofTeller;
  /** Shows the neighbour that we may get the blob, where that is asked. */
  showRight(neighbour: Neighbour, blob: SharedBlob): void;
  /** Our free slots, as far as this neighbour may have them. */
  slots(neighbour: Neighbour): Slots;
  decide(event: (core: PeerCore, now: number) => void): void;
  neighbours(): readonly Neighbour[];
  isCurrent(neighbour: Neighbour): boolean;
  blob(digest: SharedBlob['digest']): SharedBlob | undefined;
  blobs(): readonly SharedBlob[];
  /** The blob if it is in the swarm or in the store. */
  recall(digest: SharedBlob['digest']): Promise<SharedBlob | undefined>;
  supernodeFailed(blob: SharedBlob): void;
  /** A supernode that owns the blob found these reads of the registry wrong. */
  disown(blob: SharedBlob, generations: readonly string[]): void;
  discoveryReachable(): boolean;
}

/** What a node says to its neighbours about blobs, and what it makes of what they say. */
export class Conversation {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #host: ConversationHost;

  constructor(deps: { readonly clock: Clock; readonly log: Logger }, host: ConversationHost) {
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#host = host;
  }

  /**
   * Shares the blob with a neighbour that was chosen for it or shares it already. A link that serves other blobs is no
   * reason: every neighbour of a blob costs a message a piece. Without discovery every link counts.
   */
  meet(neighbour: Neighbour, blob: SharedBlob): void {
    const chosen = blob.chosen.has(neighbour.peer.id) || neighbour.theyShare(blob.digest);
    if (chosen || !this.#host.discoveryReachable()) this.exchange(neighbour, blob);
  }

  /** Tells the neighbour that we share the blob and, once it does too, what we hold. */
  exchange(neighbour: Neighbour, blob: SharedBlob): void {
    const { info, stored } = blob;
    if (!isGranted(blob.peerRight) && !stored.complete) return;
    if (neighbour.peer.role === 'supernode') {
      // One that does not own the blob would read it from the registry a second time.
      if (!blob.owners.has(neighbour.peer.id)) return;
      // It listens to who shows a right, and would not be told again where the blob can be read.
      if (blob.peerRight === 'open' && !stored.complete) return;
    }
    if (!stored.complete) this.#host.showRight(neighbour, blob);
    const news = neighbour.openOurs(blob.handle, info);
    if (news && neighbour.peer.role === 'supernode' && !stored.complete && blob.origin !== undefined) {
      // One piece ahead of all others: it will hear which they are before it reads any of them.
      if (stored.have.count > 0) this.#sendHave(neighbour, blob, heldPieces(blob).slice(0, 1));
      tellOrigin(neighbour, blob.handle, blob.origin);
    }
    if (!neighbour.meet(blob.info)) return;
    this.#host.decide((core) => core.peerShares(neighbour.slot, blob.slot));
    if (stored.have.count > 0) this.#sendHave(neighbour, blob, heldPieces(blob));
  }

  /** Takes back that we share the blob. */
  withdraw(blob: SharedBlob): void {
    for (const neighbour of this.#host.neighbours()) neighbour.closeOurs(blob.handle, blob.digest);
  }

  /** We hold a new piece: neighbours hear of it at once, or when the pause after the last news is over. */
  queueHave(blob: SharedBlob, piece: number): void {
    // Whoever was first to be left waiting has set up the message.
    if (blob.news.push(piece) > 1) return;
    const waitMs = blob.toldMs + HAVE_PAUSE_MS - this.#clock.now();
    if (waitMs <= 0) this.#tellNews(blob);
    else this.#clock.after(waitMs, () => this.#tellNews(blob));
  }

  #tellNews(blob: SharedBlob): void {
    if (blob.retired) return;
    const indexes = blob.news.splice(0);
    blob.toldMs = this.#clock.now();
    for (const neighbour of this.#host.neighbours()) {
      if (neighbour.sharesWithUs(blob.digest)) this.#sendHave(neighbour, blob, indexes);
    }
  }

  #sendHave(neighbour: Neighbour, blob: SharedBlob, indexes: readonly number[]): void {
    const proofs = this.#host.proofs.prepare(neighbour, blob, indexes);
    if (proofs.length === 0 && indexes.length > 0) return;
    neighbour.send({ type: 'have', handle: blob.handle, proofs, slots: this.#host.slots(neighbour) });
  }

  /** One message from a neighbour. */
  hear(neighbour: Neighbour, message: PeerMessage): void {
    const host = this.#host;
    if ('slots' in message && message.type !== 'hello') {
      const { down, up } = message.slots;
      // Only a message about slots says whether the peer waits for one.
      const hungry = message.type === 'slots' ? message.hungry : undefined;
      host.decide((core, now) => core.peerSlots(neighbour.slot, up, down, hungry, now));
    }
    switch (message.type) {
      case 'open':
        neighbour.noteOpen(message.handle, message);
        void this.#answerOpen(neighbour, message);
        return;
      case 'close': {
        const digest = neighbour.noteClose(message.handle);
        const blob = digest === undefined ? undefined : host.blob(digest);
        if (blob !== undefined) host.decide((core) => core.peerUnshares(neighbour.slot, blob.slot));
        return;
      }
      case 'have': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined) return;
        host.decide((core, now) => {
          for (const proof of message.proofs) {
            if (!neighbour.distrusted) {
              if (!blob.learn(proof, neighbour.peer)) continue;
              blob.noteKnown(proof.index, now);
            }
            core.peerHas(neighbour.slot, blob.slot, proof.index, now);
          }
        });
        return;
      }
      case 'offer': {
        const blob = this.#meant(neighbour, message.handle);
        const { proof } = message;
        if (blob === undefined || neighbour.peer.role !== 'supernode') return;
        if (blob.learn(proof, neighbour.peer)) {
          blob.noteKnown(proof.index, this.#clock.now());
          const awaited = blob.asked?.piece === proof.index;
          host.decide((core, now) => core.offered(neighbour.slot, blob.slot, proof.index, now, awaited));
        } else {
          neighbour.send({
            type: 'decline',
            handle: blob.handle,
            index: proof.index,
            slots: host.slots(neighbour),
          });
        }
        return;
      }
      case 'origin-failed': {
        const blob = host.blobs().find((each) => each.handle === message.handle);
        if (blob?.owners.has(neighbour.peer.id) !== true) return;
        // Other owners read what it does not.
        blob.owners = new Set([...blob.owners].filter((id) => id !== neighbour.peer.id));
        if (blob.owners.size === 0) host.supernodeFailed(blob);
        return;
      }
      case 'wrong': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob?.owners.has(neighbour.peer.id) === true) host.disown(blob, message.generations);
        return;
      }
      // A node is not asked to read a registry, makes no offers and takes no declines; hellos are over, and papers have been seen.
      case 'hello':
      case 'slots':
      case 'decline':
      case 'want':
      case 'origin':
      case 'traced':
      case 'reverse':
      case 'voucher':
      case 'evidence':
      case 'capability':
    }
  }

  #meant(neighbour: Neighbour, handle: number): SharedBlob | undefined {
    return blobMeant(neighbour, handle, (digest) => this.#host.blob(digest));
  }

  async #answerOpen(neighbour: Neighbour, message: Extract<PeerMessage, { type: 'open' }>): Promise<void> {
    const { digest, pieceBytes, size } = message;
    try {
      const blob = this.#host.blob(digest) ?? (await this.#host.recall(digest));
      if (blob === undefined || !this.#host.isCurrent(neighbour)) return;
      if (blob.info.size !== size || blob.info.pieceBytes !== pieceBytes) return;
      blob.usedMs = this.#clock.now();
      this.exchange(neighbour, blob);
    } catch (error) {
      this.#log.warn({ digest, error: describeError(error) }, 'blob could not be opened for a neighbour');
    }
  }
}

/** Indexes of the pieces we hold. */
export function heldPieces({ info, stored }: SharedBlob): number[] {
  const held: number[] = [];
  for (let index = 0; index < info.pieces; index++) if (stored.have.has(index)) held.push(index);
  return held;
}

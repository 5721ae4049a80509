import type { Digest } from '../../core/digest.ts';
import { DamselflyError, describeError, ERROR_CODES } from '../../core/errors.ts';
import { blobInfo } from '../../core/geometry.ts';
import type { BlobOrigin } from '../../core/node.ts';
import type { PieceProof } from '../../core/proof.ts';
import type { Logger } from '../../observe/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BlobStore, StoredBlob } from '../../store/store.ts';
import type { SeedCore } from '../../swarm/seed-core.ts';
import type { PeerMessage } from '../../wire/peer-messages.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { originTold } from '../origin-told.ts';
import { blobMeant, type Neighbour, type TheirBlob } from '../peers/neighbour.ts';

export interface NodeRequestsDeps {
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NodeRequestsHost {
  decide(event: (core: SeedCore, now: number) => void): void;
  blob(digest: Digest): SharedBlob | undefined;
  isCurrent(neighbour: Neighbour): boolean;
  /** Whether the neighbour may have the blob. */
  mayHave(neighbour: Neighbour, digest: Digest): boolean;
  /** Whether others can believe the proof that the neighbour tells: nobody else has use for its piece. */
  isBelievable(proof: PieceProof, digest: Digest, neighbour: Neighbour): boolean;
  activate(digest: Digest, open: () => Promise<StoredBlob | undefined>): Promise<SharedBlob | undefined>;
  /** Reads what is missing from the registry. */
  read(blob: SharedBlob, origin: BlobOrigin): void;
  /** The blob is not here, and cannot be read here. */
  untaken(digest: Digest, error: unknown): void;
}

/** What a supernode makes of what nodes tell it: which blobs they share, where those can be read, what they hold. */
export class NodeRequests {
  readonly #deps: NodeRequestsDeps;
  readonly #host: NodeRequestsHost;

  constructor(deps: NodeRequestsDeps, host: NodeRequestsHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** One message from a node. */
  hear(neighbour: Neighbour, message: PeerMessage): void {
    if ('slots' in message && message.type !== 'hello') {
      const { down, up } = message.slots;
      // Only a message about slots says whether the peer waits for one.
      const hungry = message.type === 'slots' ? message.hungry : undefined;
      this.#host.decide((core, now) => core.peerSlots(neighbour.slot, up, down, hungry, now));
    }
    switch (message.type) {
      case 'open':
        neighbour.noteOpen(message.handle, message);
        void this.#answer(neighbour, message, undefined);
        return;
      case 'traced':
        neighbour.noteTraced(message.handle, message.traceparent);
        return;
      case 'origin': {
        const theirs = neighbour.theirBlob(message.handle);
        if (theirs === undefined || !this.#host.mayHave(neighbour, theirs.digest)) return;
        void this.#answer(neighbour, theirs, originTold(neighbour, message));
        return;
      }
      case 'close': {
        const digest = neighbour.noteClose(message.handle);
        const blob = digest === undefined ? undefined : this.#host.blob(digest);
        if (blob !== undefined) this.#host.decide((core) => core.peerUnshares(neighbour.slot, blob.slot));
        return;
      }
      case 'have': {
        neighbour.noteHave(message.handle);
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined) return;
        this.#host.decide((core, now) => {
          for (const proof of message.proofs) {
            const known = proof.index < blob.info.pieces;
            if (known && this.#host.isBelievable(proof, blob.digest, neighbour)) {
              core.peerHas(neighbour.slot, blob.slot, proof.index, now);
            }
          }
        });
        return;
      }
      case 'decline': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined || message.index >= blob.info.pieces) return;
        this.#host.decide((core, now) => core.declined(neighbour.slot, blob.slot, message.index, now));
        return;
      }
      case 'want': {
        const blob = this.#meant(neighbour, message.handle);
        if (blob === undefined) return;
        this.#host.decide((core, now) => core.wanted(neighbour.slot, blob.slot, message.index, now));
        return;
      }
      // Only nodes take offers and refusals, and only supernodes are believed; hellos are over.
      case 'wrong':
      case 'hello':
      case 'slots':
      case 'offer':
      case 'origin-failed':
      case 'voucher':
      case 'evidence':
      case 'capability':
      case 'reverse':
    }
  }

  #meant(neighbour: Neighbour, handle: number): SharedBlob | undefined {
    return blobMeant(neighbour, handle, (digest) => this.#host.blob(digest));
  }

  /** A node shares a blob, and may have told where to read it: join in, and read what is missing. */
  async #answer(
    neighbour: Neighbour,
    { digest, pieceBytes, size }: TheirBlob,
    origin: BlobOrigin | undefined,
  ): Promise<void> {
    const { clock, log, store } = this.#deps;
    try {
      const open =
        origin === undefined ? () => store.open(digest) : () => store.create(blobInfo(digest, size));
      const blob = await this.#host.activate(digest, open);
      if (blob === undefined) return;
      const { info } = blob;
      if (info.size !== size || info.pieceBytes !== pieceBytes) {
        const facts = { digest, size, here: info.size, pieceBytes, piecesHere: info.pieceBytes };
        const message = 'the blob is shared here with another size, or in other pieces';
        throw new DamselflyError('UPSTREAM_BROKEN', message, facts);
      }
      blob.usedMs = clock.now();
      if (this.#host.isCurrent(neighbour)) {
        neighbour.openOurs(blob.handle, blob.info);
        // What we hold is told only by offers: a list would draw everyone to us at once.
        if (neighbour.meet(info)) this.#host.decide((core) => core.peerShares(neighbour.slot, blob.slot));
      }
      if (origin !== undefined) this.#host.read(blob, origin);
    } catch (error) {
      log.warn({ digest, error: describeError(error) }, 'blob could not be taken in');
      refuseToRead(neighbour, digest, error);
      if (this.#host.blob(digest) === undefined) this.#host.untaken(digest, error);
    }
  }
}

/** Tells the node that the blob cannot be read here. */
export function refuseToRead(neighbour: Neighbour, digest: Digest, error: unknown): void {
  const handle = neighbour.theirHandle(digest);
  if (handle === undefined) return;
  const ours = error instanceof DamselflyError ? error : new DamselflyError('INTERNAL', describeError(error));
  const status = Number(ours.facts['status'] ?? ERROR_CODES[ours.code].status);
  neighbour.send({ type: 'origin-failed', handle, code: ours.code, status, message: ours.message });
}

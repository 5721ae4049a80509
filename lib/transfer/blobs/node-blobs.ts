import type { BlobRequest } from '../../core/blob-source.ts';
import type { Digest } from '../../core/digest.ts';
import { DamselflyError } from '../../core/errors.ts';
import { blobInfo } from '../../core/geometry.ts';
import type { StoredBlob } from '../../store/store.ts';
import type { PeerCore } from '../../swarm/peer-core.ts';
import type { Decisions } from '../decisions.ts';
import type { EngineDeps } from '../engine-deps.ts';
import type { Announcements } from '../peers/announcements.ts';
import type { Conversation } from '../peers/conversation.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { BlobTable } from './blob-table.ts';
import { isFetched } from './is-fetched.ts';
import { forgetLost } from './lost-piece.ts';
import { PassingBlob } from './passing-blob.ts';
import type { PieceSink } from './piece-sink.ts';
import type { PeerRight, SharedBlob } from './shared-blob.ts';

/** A client waits for it, or nobody does. */
const PRIORITY_WANTED = 0;
const PRIORITY_UNWANTED = 100;

export interface NodeBlobsHost {
  readonly table: BlobTable;
  readonly decisions: Decisions<PeerCore>;
  readonly announcements: Announcements;
  readonly conversation: Conversation;
  readonly sink: PieceSink;
  /** Linked neighbours. */
  readonly neighbours: () => readonly Neighbour[];
}

/** How a blob joins and leaves a node's part of the swarm, and what becomes of it in between. */
export class NodeBlobs {
  readonly #deps: EngineDeps;
  readonly #host: NodeBlobsHost;

  constructor(deps: EngineDeps, host: NodeBlobsHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** A client begins to read the blob, or ends. */
  readers(blob: SharedBlob, change: 1 | -1): void {
    if (blob.readers === 0) blob.waitingSinceMs = this.#deps.clock.now();
    blob.readers += change;
    blob.usedMs = this.#deps.clock.now();
    const priority = blob.readers > 0 ? PRIORITY_WANTED : PRIORITY_UNWANTED;
    if (!blob.retired) {
      this.#host.decisions.decide((core, now) => core.setPriority(blob.slot, priority, now));
    }
    if (blob.readers === 0) blob.senders.tell(blob.digest, this.#deps.tracer);
    if (blob.passing === undefined || blob.readers > 0) return;
    // It was in memory for its client alone.
    const { discovery, store } = this.#deps;
    if (!blob.retired) this.retire(blob);
    if (store.get(blob.digest) === undefined) discovery.withdraw([blob.digest]);
  }

  /**
   * The blob as part of the swarm, started when it was not; undefined when it is there with another size.
   * @param sinceMs when its reader began to wait
   * @param right why peers give it to us; without one it is read from the registry, for us and for those that may have it
   * @throws STORE_*
   */
  async share(
    request: BlobRequest,
    sinceMs: number,
    right: PeerRight = 'shown',
  ): Promise<SharedBlob | undefined> {
    const { digest, size, origin } = request;
    const blob = this.#host.table.get(digest) ?? (await this.create({ digest, size }, sinceMs));
    if (blob === undefined) throw new DamselflyError('INTERNAL', 'a created blob is absent', { digest });
    if (blob.info.size !== size) return undefined;
    if (blob.passing !== undefined) {
      throw new DamselflyError('STORE_FULL', 'the blob is passed on to another client', { digest, size });
    }
    blob.peerRight = right;
    this.#join(blob, origin, sinceMs);
    return blob;
  }

  /**
   * The blob as part of the swarm for one client, although the disk does not take it: see {@link PassingBlob}.
   * Undefined when another client has it so already, or its size is another.
   */
  async passOn(
    request: BlobRequest,
    sinceMs: number,
    right: PeerRight = 'shown',
  ): Promise<SharedBlob | undefined> {
    const { digest, size, origin } = request;
    const here = this.#host.table.get(digest);
    if (here?.passing !== undefined || (here !== undefined && here.info.size !== size)) return undefined;
    if (here !== undefined) this.#end(here, 'the disk does not take the blob');
    let ours = false;
    const blob = await this.#activate(
      digest,
      async () => {
        ours = true;
        const kept = await this.#deps.store.open(digest).catch(() => undefined);
        if (kept?.info.size === size) return new PassingBlob(kept.info, this.#deps.pool, kept);
        await kept?.close();
        return new PassingBlob(blobInfo(digest, size), this.#deps.pool);
      },
      sinceMs,
    );
    if (blob === undefined || !ours) return undefined;
    this.#deps.metrics.passedOn.inc();
    this.#deps.log.warn(
      { digest, size },
      'the disk does not take the blob: passing it on without storing it',
    );
    blob.peerRight = right;
    this.#join(blob, origin, sinceMs);
    return blob;
  }

  /** Of a blob that is only passed on, what comes next may be fetched. @param takenBytes the client has so many, if it is news */
  moveOn(blob: SharedBlob, takenBytes?: number): void {
    if (blob.passing === undefined || blob.retired) return;
    const pieces = blob.passing.moveOn(blob.check.hashed, takenBytes);
    if (pieces.length === 0) return;
    this.#host.decisions.decide((core, now) => {
      for (const piece of pieces) core.unreserve(blob.slot, piece);
      core.setPriority(blob.slot, PRIORITY_WANTED, now);
    });
  }

  #join(blob: SharedBlob, origin: BlobRequest['origin'], sinceMs: number): void {
    const { announcements, conversation, neighbours, sink } = this.#host;
    const fresh = blob.origin === undefined;
    // The newest reader's credentials are the likeliest to be valid still.
    blob.origin = origin;
    blob.failure = undefined;
    blob.usedMs = this.#deps.clock.now();
    if (blob.stored.complete) return;
    if (fresh) {
      blob.lastProgressMs = sinceMs;
      announcements.join(blob);
    }
    // Also what the disk could not read or note for the last reader, it may now.
    void sink.check(blob);
    for (const neighbour of neighbours()) conversation.meet(neighbour, blob);
  }

  /** The blob in the swarm, made in the store when it is not there. */
  create(
    { digest, size }: { readonly digest: Digest; readonly size: number },
    sinceMs?: number,
  ): Promise<SharedBlob | undefined> {
    return this.#activate(digest, () => this.#deps.store.create(blobInfo(digest, size)), sinceMs);
  }

  /** The blob in the swarm if the store has it. */
  recall(digest: Digest): Promise<SharedBlob | undefined> {
    return this.#activate(digest, () => this.#deps.store.open(digest));
  }

  #activate(
    digest: Digest,
    open: () => Promise<StoredBlob | undefined>,
    sinceMs = this.#deps.clock.now(),
  ): Promise<SharedBlob | undefined> {
    const { clock, log, metrics, trace } = this.#deps;
    const { decisions, table } = this.#host;
    return table.activate(digest, open, (stored) => {
      const nowMs = clock.now();
      const { pieces, size } = stored.info;
      const held = stored.have.count;
      metrics.swarms.set(table.size + 1);
      trace?.(nowMs, { kind: 'blob-open', digest, held, pieces });
      log.debug({ digest, size, held, pieces }, 'blob joined its swarm');
      const slot = decisions.core.addBlob(pieces, stored.have, PRIORITY_UNWANTED, sinceMs);
      // Nothing is fetched for which there is no room.
      if (stored instanceof PassingBlob) {
        for (let piece = 0; piece < pieces; piece++) decisions.core.reserve(slot, piece);
      }
      return { slot, nowMs };
    });
  }

  /** Every piece turned out wrong: neighbours hear that we have none, and the next reader begins anew. */
  startOver(blob: SharedBlob): void {
    this.#host.decisions.decide((core) => core.lost(blob.slot));
    this.#host.conversation.withdraw(blob);
    blob.origin = undefined;
  }

  /** A piece on disk turned out wrong, or a borrowed blob is gone. */
  lost(blob: SharedBlob | undefined): void {
    if (blob?.stored.borrowed === true) this.retire(blob);
    if (blob?.passing !== undefined) this.#end(blob, 'a piece on disk is gone');
    if (blob === undefined || blob.retired) return;
    this.#host.decisions.decide((core, now) =>
      forgetLost(blob, this.#deps.metrics, core, (piece) => core.obtained(blob.slot, piece, now)),
    );
    // Neighbours neither send what they believe us to hold nor say that they hold it: all begin anew.
    this.#host.conversation.withdraw(blob);
    if (blob.readers === 0) return;
    this.#host.announcements.join(blob);
    for (const neighbour of this.#host.neighbours()) this.#host.conversation.meet(neighbour, blob);
  }

  /** Retires the blob, and its readers go on another way. */
  #end(blob: SharedBlob, why: string): void {
    if (blob.retired) return;
    blob.failure ??= new DamselflyError('STORE_FAILED', why, { digest: blob.digest });
    this.retire(blob);
    blob.changed();
  }

  /** Retires the blob unless we or a neighbour are still fetching it. @returns whether it is out of the swarm */
  release(blob: SharedBlob | undefined): boolean {
    if (blob === undefined) return true;
    if (isFetched(blob, this.#host.decisions.core, this.#host.neighbours())) return false;
    this.retire(blob);
    return true;
  }

  /** The blob leaves memory; what is on disk stays and is shared again when someone asks. */
  retire(blob: SharedBlob): void {
    const { conversation, decisions, table } = this.#host;
    table.retire(blob);
    decisions.decide((core, now) => core.removeBlob(blob.slot, now));
    conversation.withdraw(blob);
    this.#deps.metrics.swarms.set(table.size);
    blob.closed = blob.stored.close();
  }

  /** Takes every blob out that nobody is getting, and waits until the store knows that it is not in use. */
  async releaseIdle(): Promise<void> {
    const idle = this.#host.table.all().filter((blob) => this.release(blob));
    await Promise.all(idle.map(({ closed }) => closed));
  }
}

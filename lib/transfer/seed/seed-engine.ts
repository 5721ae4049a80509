import type { BlobRequest } from '../../core/blob-source.ts';
import type { Digest } from '../../core/digest.ts';
import { describeError } from '../../core/errors.ts';
import { blobInfo } from '../../core/geometry.ts';
import { guardedOrigin } from '../../origin/guarded-origin.ts';
import type { StoredBlob } from '../../store/store.ts';
import { SeedCore } from '../../swarm/seed-core.ts';
import type { SeedCoreOptions } from '../../swarm/seed-core-options.ts';
import type { CapabilityAnswer, CapabilityQuestion } from '../../wire/capability-codec.ts';
import type { Hello, PeerMessage } from '../../wire/peer-messages.ts';
import type { SmallBlob } from '../../wire/small-blobs-codec.ts';
import { announceStored } from '../blobs/announce-stored.ts';
import { BlobTable } from '../blobs/blob-table.ts';
import { forgetLost } from '../blobs/lost-piece.ts';
import { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { endEach, IDLE_CLOSE_MS, startCleaner } from '../cleaner.ts';
import { heldSmallBlobs } from '../clients/held-small-blobs.ts';
import { Decisions } from '../decisions.ts';
import { type EngineDeps, timeOf } from '../engine-deps.ts';
import { Limits } from '../limits.ts';
import { isSupernode, type Neighbour } from '../peers/neighbour.ts';
import { Neighbours } from '../peers/neighbours.ts';
import type { Uploads } from '../peers/uploads.ts';
import { preheatOwned } from '../preheat/preheat-owned.ts';
import { ProofTrust } from '../proofs/proof-trust.ts';
import { type CapabilityDesk, createDesk, type DeskHabits } from '../rights/capability-desk.ts';
import type {
  Link,
  PeerMember,
  PieceAdmission,
  PieceRequest,
  SmallBlobsAnswer,
  SmallBlobsRequest,
} from '../seams.ts';
import { type SwarmStatus, swarmStatus } from '../swarm-status.ts';
import { Ticks } from '../ticks.ts';
import { CoOwners } from './co-owners.ts';
import { type KeptObjects, keptNotes, openKeptObjects } from './kept-objects.ts';
import { NodeOffers } from './node-offers.ts';
import { NodeRequests, refuseToRead } from './node-requests.ts';
import { createReadWhole, type ReadWhole } from './read-whole.ts';
import { RegistryReads } from './registry-reads.ts';
import { createSeedUploads } from './seed-uploads.ts';
import { unsharedBytes, untilShared } from './unshared-bytes.ts';

/**
 * A supernode's part in the swarm: reads each blob that a node asks for from the registry once, and offers every piece
 * as soon as it is on disk, as one SeedCore decides.
 */
export class SeedEngine {
  readonly #deps: EngineDeps;
  readonly #decisions: Decisions<SeedCore>;
  readonly #neighbours: Neighbours;
  readonly #trust: ProofTrust;
  readonly #desk: CapabilityDesk | undefined;
  readonly #blobs: BlobTable;
  readonly #coOwners: CoOwners;
  readonly #reads: RegistryReads;
  readonly #readWhole: ReadWhole;
  readonly #requests: NodeRequests;
  readonly #offers: NodeOffers;
  readonly #sink: PieceSink;
  readonly #uploads: Uploads;
  /** What is kept in the object store, if there is one. */
  readonly #kept: KeptObjects | undefined;
  readonly #ticks: Ticks;
  #stopCleaner = (): void => {};

  constructor(deps: EngineDeps, core: Partial<SeedCoreOptions> = {}, habits: DeskHabits = {}) {
    this.#deps = deps;
    this.#decisions = new Decisions(new SeedCore(core, deps.rng), deps.clock, (actions, at) =>
      this.#offers.carryOut(actions, at),
    );
    const decide = this.#decisions.decide.bind(this.#decisions);
    this.#trust = new ProofTrust(deps, {
      links: () => this.#neighbours,
      blob: (digest) => this.#blobs.get(digest),
    });
    this.#desk = createDesk({ ...deps, wallClockMs: timeOf(deps) }, habits);
    const { judge, teller: proofs } = this.#trust;
    this.#ticks = new Ticks(deps.clock, {
      isIdle: () => this.#blobs.size === 0,
      tick: () => this.#decisions.decide((seed, now) => seed.tick(now)),
    });
    this.#blobs = new BlobTable(deps.pool, judge, () => this.#ticks.wake());
    this.#offers = new NodeOffers(deps, {
      decisions: this.#decisions,
      proofs,
      blobAt: (slot) => this.#blobs.atSlot(slot),
    });
    this.#neighbours = new Neighbours(
      { ...deps, dialer: deps.network, hello: () => this.#hello() },
      {
        up: (neighbour, hello) => this.#up(neighbour, hello),
        down: (neighbour) => this.#down(neighbour),
        message: (neighbour, message) => {
          if (!this.#trust.hear(neighbour, message)) this.#hear(neighbour, message);
        },
      },
    );
    this.#sink = new PieceSink(
      { ...deps, judge },
      {
        dropsEverywhere: true,
        complete: (blob) => {
          deps.discovery.announce([{ digest: blob.digest, size: blob.info.size, have: 'all' }]);
          this.#kept?.keep.complete(blob.info, this.#coOwners.mine(blob, 0));
        },
        wrong: (blob, generations) => this.#startOver(blob, generations),
      },
    );
    const limits = deps.limits ?? new Limits(deps.clock);
    this.#coOwners = new CoOwners(deps, {
      proofs,
      self: deps.self,
      slots: () => this.#offers.slots(),
      linked: (id) => this.#neighbours.get(id),
      supernodes: () => this.#neighbours.all().filter(isSupernode),
      connect: (peer) => this.#neighbours.connect(peer),
      blob: (digest) => this.#blobs.get(digest),
      blobs: () => this.#blobs.all(),
      recall: (digest) => this.#activate(digest, () => deps.store.open(digest)),
      disown: (blob, generations) => void this.#sink.disown(blob, generations),
      share: (digest, size) => this.#activate(digest, () => deps.store.create(blobInfo(digest, size))),
      read: (blob, origin) => void this.#reads.start(blob, origin),
    });
    const registries = guardedOrigin(deps);
    this.#kept = openKeptObjects(deps, registries);
    const { border, download } = limits;
    const guarded = { ...deps, border, origin: this.#kept?.reads ?? registries, pace: download };
    this.#reads = new RegistryReads(guarded, this.#sink, this.#coOwners, {
      self: deps.self,
      has: (blob, piece) => this.#decisions.core.has(blob.slot, piece),
      holders: (blob, piece) => this.#decisions.core.holders(blob.slot, piece),
      spread: (blob) => this.#decisions.core.spread(blob.slot),
      wanted: (blob) => this.#wanted(blob),
      neighbours: () => this.#neighbours.all(),
      landed: (blob, piece) => this.#landed(blob, piece),
      refuse: refuseToRead,
      ban: (neighbour) => this.#neighbours.ban(neighbour.peer.id, 'corrupt-piece'),
    });
    this.#readWhole = createReadWhole(deps, this.#reads, (digest, open) => this.#activate(digest, open));
    this.#requests = new NodeRequests(deps, {
      decide,
      blob: (digest) => this.#blobs.get(digest),
      isCurrent: (neighbour) => this.#neighbours.get(neighbour.peer.id) === neighbour,
      mayHave: ({ peer }, digest) => deps.grants?.allows(peer, digest) !== false,
      isBelievable: (proof, digest, { peer }) => this.#trust.isBelievable(proof, digest, peer.id),
      activate: (digest, open) => this.#activate(digest, open),
      read: (blob, origin) => void this.#reads.start(blob, origin),
      untaken: (digest, error) => this.#coOwners.untaken(digest, error),
    });
    this.#uploads = createSeedUploads({ ...deps, pace: limits.upload }, this.#decisions, {
      neighbour: (id) => this.#neighbours.get(id),
      blob: (digest) => this.#blobs.get(digest),
      zone: () => deps.self().zone,
    });
    limits.follow(() => decide((core, now) => core.limitSlots(limits.uploadSlots, now)));
  }

  /** Begins: joins the tracker with what the store holds, and lets time pass. */
  start(): void {
    const { discovery, store } = this.#deps;
    // Nodes dial supernodes, never the other way round; owners of one blob dial each other.
    discovery.listen({
      neighbours: (digest, peers) => {
        const blob = this.#blobs.get(digest);
        if (blob !== undefined) this.#coOwners.named(blob, peers);
      },
      reachable: () => {},
      supernodesChanged: () => this.#blobs.all().forEach((blob) => this.#coOwners.ask(blob)),
    });
    store.onLoss(({ digest }) => this.#lost(this.#blobs.get(digest)));
    announceStored(this.#deps);
    this.#ticks.start();
    this.#stopCleaner = startCleaner(this.#deps, {
      swarm: () =>
        endEach(
          this.#blobs.all(),
          (blob) => this.#isIdle(blob),
          (blob) => this.#retire(blob),
        ),
      link: () => this.#neighbours.closeUnused(),
      buffer: () => this.#deps.pool.trim(),
    });
  }

  /** For the peer server: a node dialled us. */
  link(link: Link): void {
    this.#neighbours.accept(link);
  }

  /** For the peer server: a node asks for a piece. */
  piece(request: Omit<PieceRequest, 'address'>): PieceAdmission {
    return this.#uploads.answer(request);
  }

  /** For the peer server: a peer asks for small blobs. Those that we own and do not have are read. */
  async smallBlobs(
    question: Omit<SmallBlobsRequest, 'address'>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<SmallBlobsAnswer> {
    const { blobs, from, origin } = question;
    if (this.#neighbours.banned(from)) return blobs.map(() => undefined);
    const read =
      origin === undefined
        ? undefined
        : async (blob: SmallBlob) => void (await this.#readWhole({ ...blob, origin }, signal));
    return await heldSmallBlobs(this.#deps, question, read);
  }

  /** For the peer server: a node asks for the right to get blobs from peers. */
  async capability(
    from: PeerMember,
    question: CapabilityQuestion,
    options: { readonly signal: AbortSignal },
  ): Promise<CapabilityAnswer | undefined> {
    return this.#neighbours.banned(from.id) ? undefined : await this.#desk?.answer(from, question, options);
  }

  /** For `/readyz`. */
  get notes(): readonly string[] {
    return keptNotes(this.#kept);
  }

  /** See {@link preheatOwned}. */
  async preheat(request: BlobRequest, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    await preheatOwned(this.#deps, request, () => this.#readWhole(request, signal));
  }

  #up(neighbour: Neighbour, hello: Hello): void {
    this.#trust.meet(neighbour);
    if (isSupernode(neighbour)) {
      this.#coOwners.up(neighbour, this.#blobs.all());
      return;
    }
    this.#offers.up(neighbour, hello);
  }

  #down(neighbour: Neighbour): void {
    this.#uploads.forget(neighbour);
    if (isSupernode(neighbour)) {
      this.#coOwners.down(neighbour, this.#blobs.all());
      return;
    }
    this.#offers.down(neighbour);
  }

  #hear(neighbour: Neighbour, message: PeerMessage): void {
    if (isSupernode(neighbour)) {
      this.#coOwners.hear(neighbour, message).catch((error: unknown) => {
        const facts = { error: describeError(error) };
        this.#deps.log.warn(facts, 'blob could not be opened for another supernode');
      });
      return;
    }
    this.#requests.hear(neighbour, message);
  }

  #activate(digest: Digest, open: () => Promise<StoredBlob | undefined>): Promise<SharedBlob | undefined> {
    return this.#blobs.activate(digest, open, (stored) => {
      const { clock, metrics, trace } = this.#deps;
      const held = stored.have.count;
      // It may be older than the object store, or the store failed when it came.
      if (stored.complete) this.#kept?.keep.complete(stored.info, false);
      trace?.(clock.now(), { kind: 'blob-open', digest, held, pieces: stored.info.pieces });
      metrics.swarms.set(this.#blobs.size + 1);
      return { slot: this.#decisions.core.addBlob(stored.info.pieces, stored.have), nowMs: clock.now() };
    });
  }

  /** The next node that tells where to read the blob has the lost piece read again. */
  #lost(blob: SharedBlob | undefined): void {
    if (blob === undefined) return;
    this.#decisions.decide((core, now) =>
      forgetLost(blob, this.#deps.metrics, core, (piece) => core.landed(blob.slot, piece, now)),
    );
  }

  /** Nodes share the blob, or wait to be told it whole, or another site does. */
  #wanted(blob: SharedBlob): boolean {
    const { core } = this.#decisions;
    return blob.readers > 0 || core.spread(blob.slot).sharers > 0 || this.#coOwners.isWanted(blob);
  }

  #landed(blob: SharedBlob, piece: number): void {
    const how = this.#coOwners.cameBy(blob, piece);
    this.#decisions.decide((core, now) => core.landed(blob.slot, piece, now, how));
    this.#coOwners.landed(blob, piece);
    this.#kept?.keep.landed(blob, this.#coOwners.mine(blob, 0));
  }

  /** Every piece turned out wrong: whoever shares the blob hears which reads of the registry are to blame. */
  #startOver(blob: SharedBlob, generations: readonly string[]): void {
    this.#decisions.decide((core) => core.lost(blob.slot));
    this.#coOwners.forget(blob);
    this.#reads.wrong(blob);
    this.#kept?.keep.wrong(blob);
    this.#kept?.reads.forget(blob.digest);
    for (const neighbour of this.#neighbours.all()) {
      if (neighbour.sharesWithUs(blob.digest)) {
        neighbour.send({ type: 'wrong', handle: blob.handle, generations });
      }
    }
  }

  #hello(): Hello {
    const clusterTimeMs = timeOf(this.#deps)();
    return {
      type: 'hello',
      protocol: 1,
      peer: this.#deps.self(),
      clusterTimeMs,
      slots: this.#offers.slots(),
    };
  }

  #isIdle(blob: SharedBlob): boolean {
    return this.#deps.clock.now() - blob.usedMs > IDLE_CLOSE_MS && !this.#reads.underWay(blob);
  }

  #retire(blob: SharedBlob): void {
    this.#blobs.retire(blob);
    this.#kept?.keep.retired(blob);
    this.#decisions.decide((core) => core.removeBlob(blob.slot));
    for (const neighbour of this.#neighbours.all()) neighbour.closeOurs(blob.handle, blob.digest);
    if (!blob.stored.complete) this.#deps.discovery.withdraw([blob.digest]);
    blob.changed();
    this.#deps.metrics.swarms.set(this.#blobs.size);
    void blob.stored.close();
  }

  /** Before it stops: reads no more, and gives away what else would be lost. Takes no longer than three seconds. */
  async drain(): Promise<void> {
    await this.#reads.close();
    await untilShared(this.#deps.clock, () => this.unsharedBytes());
  }

  unsharedBytes(): number {
    return unsharedBytes(this.#blobs.all(), this.#decisions.core, this.#coOwners);
  }

  /** What is going on, for people. */
  status(): SwarmStatus {
    const now = this.#deps.clock.now();
    return swarmStatus(this.#neighbours, this.#blobs.all(), { efficiency: () => null }, now);
  }

  /** Ends links and registry reads; waits for pieces being written. A second call is harmless. */
  async close(): Promise<void> {
    this.#ticks.stop();
    this.#stopCleaner();
    const reading = this.#reads.close();
    this.#neighbours.close();
    await this.#kept?.keep.close();
    await this.#kept?.reads.close();
    await reading;
    for (const blob of this.#blobs.all()) await blob.stored.close();
  }
}

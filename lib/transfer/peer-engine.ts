import type { BlobRequest, BlobSource, Right, RightSubject } from '../core/blob-source.ts';
import type { Digest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import type { PeerInfo } from '../core/node.ts';
import { withAbort } from '../core/single-flight.ts';
import { guardedOrigin } from '../origin/guarded-origin.ts';
import { Action, type ActionBuffer } from '../swarm/actions.ts';
import { PeerCore } from '../swarm/peer-core.ts';
import type { PeerCoreOptions } from '../swarm/peer-core-options.ts';
import type { Hello } from '../wire/peer-messages.ts';
import { announceBorrowed } from './blobs/announce-borrowed.ts';
import { announceStored } from './blobs/announce-stored.ts';
import { BlobTable } from './blobs/blob-table.ts';
import { NodeBlobs } from './blobs/node-blobs.ts';
import { NodeCache } from './blobs/node-cache.ts';
import { PieceSink } from './blobs/piece-sink.ts';
import type { SharedBlob } from './blobs/shared-blob.ts';
import { endEach, IDLE_CLOSE_MS, startCleaner } from './cleaner.ts';
import { AfterPull } from './clients/after-pull.ts';
import { ClientReads } from './clients/client-reads.ts';
import { heldSmallBlobs } from './clients/held-small-blobs.ts';
import { LocalFirst } from './clients/local-first.ts';
import { Prefetch } from './clients/prefetch.ts';
import { SmallBlobs } from './clients/small-blobs.ts';
import { Decisions } from './decisions.ts';
import { discoveryNews } from './discovery-news.ts';
import { type EngineDeps, timeOf } from './engine-deps.ts';
import { fallbackHost } from './fallback/fallback-host.ts';
import { RegistryFallback } from './fallback/registry-fallback.ts';
import { Limits } from './limits.ts';
import type { NodeHabits } from './node-habits.ts';
import { Announcements } from './peers/announcements.ts';
import { Conversation } from './peers/conversation.ts';
import { Downloads } from './peers/downloads.ts';
import { LinkedPeers } from './peers/linked-peers.ts';
import type { Neighbour } from './peers/neighbour.ts';
import { Neighbours } from './peers/neighbours.ts';
import { Uploads } from './peers/uploads.ts';
import { Wants } from './peers/wants.ts';
import { fetchAhead } from './preheat/fetch-ahead.ts';
import { ProofTrust } from './proofs/proof-trust.ts';
import { type CapabilityWallet, createWallet } from './rights/capability-wallet.ts';
import { walletHost } from './rights/wallet-host.ts';
import type { Link, PieceAdmission, PieceRequest, SmallBlobsAnswer, SmallBlobsRequest } from './seams.ts';
import { type SwarmStatus, swarmStatus } from './swarm-status.ts';
import { Ticks } from './ticks.ts';

/**
 * A node's part in the swarm: feeds one PeerCore with what happens on links, disk and clock, and carries out what it
 * decides. As a BlobSource it gives clients the bytes while they land.
 */
export class PeerEngine implements BlobSource {
  /** Blobs that come and go by hand. */
  readonly cache: NodeCache;
  readonly #deps: EngineDeps;
  readonly #decisions: Decisions<PeerCore>;
  readonly #neighbours: Neighbours;
  readonly #linked: LinkedPeers;
  readonly #trust: ProofTrust;
  readonly #wallet: CapabilityWallet | undefined;
  readonly #table: BlobTable;
  readonly #blobs: NodeBlobs;
  readonly #conversation: Conversation;
  readonly #announcements: Announcements;
  readonly #sink: PieceSink;
  readonly #downloads: Downloads;
  readonly #uploads: Uploads;
  readonly #wants: Wants;
  readonly #fallback: RegistryFallback;
  readonly #smallBlobs: SmallBlobs;
  readonly #reads: ClientReads;
  readonly #afterPull: AfterPull | undefined;
  readonly #prefetch: Prefetch | undefined;
  readonly #ticks: Ticks;
  readonly #stops: (() => void)[] = [];
  #closed = false;

  constructor(deps: EngineDeps, core: Partial<PeerCoreOptions> = {}, habits: NodeHabits = {}) {
    this.#deps = deps;
    this.#decisions = new Decisions(new PeerCore(core, deps.rng), deps.clock, (actions, at) =>
      this.#carryOut(actions, at),
    );
    const decide = this.#decisions.decide.bind(this.#decisions);
    this.#linked = new LinkedPeers(deps.self, this.#decisions);
    const limits = deps.limits ?? new Limits(deps.clock);
    const localFirst = new LocalFirst(deps.clock, limits.upload);
    this.#trust = new ProofTrust(deps, {
      links: () => this.#neighbours,
      blob: (digest) => this.#table.get(digest),
    });
    const { judge } = this.#trust;
    this.#ticks = new Ticks(deps.clock, {
      isIdle: () => this.#table.size === 0,
      tick: (stoodStillMs) => this.#tick(stoodStillMs),
    });
    this.#table = new BlobTable(deps.pool, judge, () => this.#ticks.wake());
    this.#neighbours = new Neighbours(
      { ...deps, dialer: deps.network, hello: () => this.#hello() },
      {
        up: (neighbour, hello) => this.#up(neighbour, hello),
        down: (neighbour) => this.#down(neighbour),
        message: (neighbour, message) => {
          if (!this.#trust.hear(neighbour, message)) this.#conversation.hear(neighbour, message);
        },
      },
    );
    this.#wallet = createWallet(
      { ...deps, wallClockMs: timeOf(deps) },
      walletHost({
        blobs: this.#table,
        neighbours: () => this.#neighbours.all(),
        conversation: () => this.#conversation,
        clock: deps.clock,
      }),
    );
    this.#conversation = new Conversation(deps, {
      proofs: this.#trust.teller,
      showRight: (neighbour, blob) => this.#wallet?.show(neighbour, blob.digest),
      slots: (neighbour) => this.#linked.slots(neighbour),
      discoveryReachable: () => deps.discovery.reachable,
      decide,
      neighbours: () => this.#neighbours.all(),
      isCurrent: (neighbour) => this.#neighbours.get(neighbour.peer.id) === neighbour,
      blob: (digest) => this.#table.get(digest),
      blobs: () => this.#table.all(),
      recall: (digest) => this.#blobs.recall(digest),
      supernodeFailed: (blob) => this.#fallback.supernodeFailed(blob),
      disown: (blob, generations) => void this.#sink.disown(blob, generations),
    });
    this.#announcements = new Announcements(deps, {
      zone: () => deps.self().zone,
      neighbours: () => this.#neighbours.all(),
      dialling: () => this.#neighbours.dialling(),
    });
    this.#sink = new PieceSink(
      { ...deps, judge },
      {
        dropsEverywhere: false,
        complete: (blob) => {
          deps.discovery.announce([{ digest: blob.digest, size: blob.info.size, have: 'all' }]);
          // Those whom we answered nothing while we had no right to it ourselves are given what we hold.
          for (const neighbour of this.#neighbours.all()) this.#conversation.meet(neighbour, blob);
        },
        wrong: (blob) => this.#blobs.startOver(blob),
      },
    );
    this.#blobs = new NodeBlobs(deps, {
      table: this.#table,
      decisions: this.#decisions,
      announcements: this.#announcements,
      conversation: this.#conversation,
      sink: this.#sink,
      neighbours: () => this.#neighbours.all(),
    });
    this.#downloads = new Downloads({ ...deps, pace: limits.download }, this.#sink, {
      self: () => deps.self().id,
      report: decide,
      distrust: ({ peer }) => this.#distrust(peer),
    });
    this.#uploads = new Uploads(
      { ...deps, pace: localFirst },
      {
        neighbour: (id) => this.#neighbours.get(id),
        blob: (digest) => this.#table.get(digest),
        admit: (neighbour, blob, piece) =>
          decide((core, now) => core.admit(neighbour.slot, blob.slot, piece, now)),
        freeSlots: (neighbour) => this.#decisions.core.freeUploadsFor(neighbour.slot),
        ended: (neighbour) => decide((core, now) => core.uploaded(neighbour.slot, now)),
      },
    );
    this.#wants = new Wants(deps, {
      lacks: (blob, piece) => this.#decisions.core.wants(blob.slot, piece),
      neighbours: () => this.#neighbours.all(),
      slots: (neighbour) => this.#linked.slots(neighbour),
    });
    this.#fallback = new RegistryFallback(
      { ...deps, limits, origin: guardedOrigin(deps) },
      this.#sink,
      fallbackHost(deps, {
        blobs: this.#table,
        core: this.#decisions.core,
        decide,
        introduce: (blob, peer) => this.#introduce(blob, peer),
        neighbours: this.#neighbours,
        supernodeSpeaks: () => this.#wallet?.supernodeSpeaks === true,
      }),
    );
    this.#smallBlobs = new SmallBlobs(deps, this.#sink, {
      right: (request) => this.#wallet?.ensure(request),
      paperFor: (digests) => this.#wallet?.paperFor(digests),
      shared: (digest) => this.#table.get(digest) !== undefined,
      share: (blob) => this.#blobs.create(blob),
      obtained: (blob) => {
        if (!blob.retired) decide((core, now) => core.obtained(blob.slot, 0, now));
      },
      distrusted: (id) => this.#neighbours.distrusted(id),
      distrust: (peer) => this.#distrust(peer),
    });
    const { wholeBlobs } = habits;
    this.#reads = new ClientReads({ ...deps, limits, localFirst, wholeBlobs }, this.#sink, {
      right: (request) => this.#wallet?.ensure(request),
      small: (request, signal) => this.#smallBlobs.get(request, signal),
      share: (request, sinceMs, right) => this.#blobs.share(request, sinceMs, right),
      passOn: (request, sinceMs, right) => this.#blobs.passOn(request, sinceMs, right),
      moveOn: (blob, offset) => this.#blobs.moveOn(blob, offset),
      readers: (blob, change) => this.#blobs.readers(blob, change),
      waitsFor: (blob, piece) => {
        blob.waitFor(piece, deps.clock.now());
        if (!blob.retired) this.#decisions.core.setCursor(blob.slot, piece);
      },
      storeFailed: (error) => this.#fallback.noteDirect(error),
      readEnded: (digest) => this.#afterPull?.readEnded(digest),
    });
    const { cacheAfterPullMs: keepMs } = habits;
    const release = (digest: Digest): boolean => this.#blobs.release(this.#table.get(digest));
    const isRead = (digest: Digest): boolean => this.#reads.efficiency(digest) !== null;
    this.cache = new NodeCache(deps, this.#sink, {
      create: (blob) => this.#blobs.create(blob),
      obtained: (blob, piece) => decide((core, now) => core.obtained(blob.slot, piece, now)),
      releaseIdle: () => this.#blobs.releaseIdle(),
      ...{ isRead, release },
    });
    this.#afterPull = keepMs === undefined ? undefined : new AfterPull(deps, keepMs, { isRead, release });
    const share = async (request: BlobRequest): Promise<SharedBlob | undefined> => {
      const right = await this.#wallet?.ensure(request);
      return right === 'none' ? undefined : await this.#blobs.share(request, deps.clock.now(), right);
    };
    this.#prefetch = habits.prefetch === true ? new Prefetch(deps, share) : undefined;
    limits.follow(() =>
      decide((core, now) => core.limitSlots(limits.uploadSlots, limits.downloadSlots, now)),
    );
  }

  /** Begins: announces what the store holds, and lets time pass. */
  start(): void {
    const { clock, discovery, store } = this.#deps;
    const news = {
      announcements: this.#announcements,
      blobs: this.#table,
      dial: (peer: PeerInfo) => this.#neighbours.connectInTurn(peer),
      introduce: (blob: SharedBlob | undefined, peer: PeerInfo) => this.#introduce(blob, peer),
      smallBlobs: this.#smallBlobs,
    };
    discovery.listen(discoveryNews(clock, news));
    store.onLoss(({ digest }) => this.#blobs.lost(this.#table.get(digest)));
    announceStored(this.#deps);
    this.#ticks.start();
    const retire = (blob: SharedBlob): void => this.#blobs.retire(blob);
    const cleaner = startCleaner(this.#deps, {
      swarm: () => endEach(this.#table.all(), (blob) => this.#isIdle(blob), retire),
      link: () => this.#neighbours.closeUnused(),
      buffer: () => this.#deps.pool.trim(),
    });
    this.#stops.push(announceBorrowed(this.#deps), cleaner, () => this.#ticks.stop());
    if (this.#afterPull !== undefined) this.#stops.push(this.#afterPull.start());
  }

  link(link: Link): void {
    this.#neighbours.accept(link);
  }

  /** For the peer server: a peer asks for a piece. */
  piece(request: Omit<PieceRequest, 'address'>): PieceAdmission {
    return this.#uploads.answer(request);
  }

  /** For the peer server: a peer asks for small blobs that we may have. */
  async smallBlobs(question: Omit<SmallBlobsRequest, 'address'>): Promise<SmallBlobsAnswer> {
    return this.#neighbours.banned(question.from)
      ? question.blobs.map(() => undefined)
      : await heldSmallBlobs(this.#deps, question);
  }

  /** Fetches what is small at once; anything else before a client asks for it only where that is our habit. */
  prepare(requests: readonly BlobRequest[]): void {
    void this.#smallBlobs.prepare(requests);
    this.#prefetch?.add(requests);
  }

  async right(
    subject: RightSubject,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Right | undefined> {
    return this.#wallet === undefined ? undefined : await withAbort(this.#wallet.right(subject), signal);
  }

  open(request: BlobRequest, options: { readonly signal: AbortSignal }): AsyncIterable<Uint8Array> {
    return this.#reads.open(request, options);
  }

  /** Brings a whole blob here before any client asks for it. @throws UPSTREAM_*, STORE_*, DIGEST_MISMATCH, ABORTED */
  async preheat(request: BlobRequest, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const small = this.#smallBlobs.get.bind(this.#smallBlobs);
    const share = async (shared: BlobRequest): Promise<SharedBlob | undefined> =>
      await this.#blobs.share(shared, this.#deps.clock.now(), await this.#wallet?.ensure(shared));
    await fetchAhead(this.#deps, request, { small, share }, signal);
  }

  #introduce(blob: SharedBlob | undefined, peer: PeerInfo): void {
    const neighbour = this.#neighbours.get(peer.id);
    if (neighbour === undefined) this.#neighbours.connect(peer);
    else if (blob !== undefined) this.#conversation.exchange(neighbour, blob);
  }

  #up(neighbour: Neighbour, hello: Hello): void {
    this.#linked.up(neighbour, hello);
    this.#trust.meet(neighbour);
    for (const blob of this.#table.all()) {
      if (!blob.stored.complete) this.#conversation.meet(neighbour, blob);
    }
  }

  /** It sent wrong bytes. Whatever it was the only source of needs others; a supernode takes nothing from us anyway. */
  #distrust({ id, role }: PeerInfo): void {
    if (role === 'supernode') return this.#neighbours.ban(id, 'corrupt-piece');
    const linked = this.#neighbours.distrust(id, 'corrupt-piece');
    if (linked === undefined) return;
    this.#decisions.decide((core, now) => core.distrust(linked.slot, now));
    this.#announcements.lost(linked, this.#table.all());
  }

  #down(neighbour: Neighbour): void {
    this.#linked.down(neighbour, this.#uploads.forget(neighbour));
    this.#announcements.lost(neighbour, this.#table.all());
  }

  #carryOut(actions: ActionBuffer, at: number): void {
    const kind = actions.kind[at];
    const neighbour = this.#linked.at(actions.peer[at] ?? -1);
    const blob = this.#table.atSlot(actions.blob[at] ?? -1);
    const piece = actions.piece[at] ?? -1;
    const request = actions.request[at] ?? -1;
    if (kind === Action.request && blob !== undefined) {
      this.#downloads.start(request, neighbour, blob, piece);
    } else if (kind === Action.cancel) this.#downloads.cancel(request);
    else if (kind === Action.have && blob !== undefined) this.#conversation.queueHave(blob, piece);
    else if (kind === Action.slots) this.#linked.sendSlots(neighbour, false);
    else if (kind === Action.hungry) this.#linked.sendSlots(neighbour, true);
    else if (kind === Action.decline && blob !== undefined && neighbour !== undefined) {
      neighbour.send({
        type: 'decline',
        handle: blob.handle,
        index: piece,
        slots: this.#linked.slots(neighbour),
      });
    }
  }

  #hello(): Hello {
    const clusterTimeMs = timeOf(this.#deps)();
    // How many uploads this peer may have is told once it is our neighbour.
    const slots = { up: 0, down: this.#decisions.core.freeDownloads };
    return { type: 'hello', protocol: 1, peer: this.#deps.self(), clusterTimeMs, slots };
  }

  /** While this process itself stood still, nobody else was slow. */
  #tick(stoodStillMs: number): void {
    this.#decisions.decide((core, now) => core.tick(now));
    this.#prefetch?.goOn();
    this.#wallet?.tick();
    const now = this.#deps.clock.now();
    this.#fallback.tick(this.#table.all());
    for (const blob of this.#table.all()) {
      blob.stoodStill(stoodStillMs, now);
      blob.lastProgressMs = Math.max(blob.lastProgressMs, this.#decisions.core.progressedAt(blob.slot));
      // There may be memory that was not free before.
      this.#blobs.moveOn(blob);
      this.#wants.look(blob);
      if (this.#fallback.consider(blob)) this.#announcements.stalled(blob);
    }
  }

  #isIdle({ ofUseMs, readers, slot }: SharedBlob): boolean {
    const used = readers > 0 || this.#decisions.core.inFlight(slot) > 0;
    return !used && this.#deps.clock.now() - ofUseMs > IDLE_CLOSE_MS;
  }

  /** What is going on, for people. */
  status(): SwarmStatus {
    return swarmStatus(this.#neighbours, this.#table.all(), this.#reads, this.#deps.clock.now());
  }

  /** Ends links, fetches and readers; waits for pieces being written. A second call is harmless. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#fallback.close();
    this.#wallet?.close();
    this.#smallBlobs.close();
    this.#neighbours.close();
    await this.#downloads.close();
    await this.#table.close(new DamselflyError('ABORTED', 'the daemon is stopping'));
  }
}

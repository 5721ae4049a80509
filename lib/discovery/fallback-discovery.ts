import { type ClusterSettings, isNewer } from '../core/cluster-settings.ts';
import type { Digest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import type { PeerInfo } from '../core/node.ts';
import { rendezvousOwner } from '../core/rendezvous.ts';
import { supernodesFor } from '../core/zones.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Rng } from '../runtime/rng.ts';
import type { DhtDoor } from '../wire/member-codec.ts';
import type { Announcement, Discovery, DiscoveryListener } from './discovery.ts';
import { GettingBy } from './getting-by.ts';
import type { Leases } from './leases.ts';
import type { DhtDiscovery } from './libp2p/dht-discovery.ts';

/** A tracker that restarts is back by then; from then on whoever is there helps itself. */
const GRACE_MS = 1500;
/** Trackers that answer nothing for so long are as good as gone, whatever their connections say. */
const SILENT_MS = 3000;
/** The DHT is given so long to be joined, */
const JOIN_MS = 2000;
/** and then to meet its supernodes, before what it does not know is taken for true. */
const SETTLE_MS = 5000;
/** Once trackers are back, or nobody asks for it any more, the DHT is left after this. */
const LINGER_MS = 5 * 60_000;
/** Remembered nodes that are named for a blob before the DHT knows better. */
const REMEMBERED_NODES = 4;

export interface FallbackDiscoveryDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly trackers: Discovery;
  /** Joins the DHT. */
  readonly openDht: (presumed: () => readonly PeerInfo[]) => DhtDiscovery;
  /** Peers that were heard of before, the latest first. */
  readonly remembered: { readonly all: readonly PeerInfo[]; note(peers: readonly PeerInfo[]): void };
  readonly metrics?: FallbackMetrics | undefined;
}

export interface FallbackDiscoveryOptions {
  /** Ourselves. */
  readonly peer: PeerInfo;
  /** See DhtDiscoveryOptions. */
  readonly turns: (digest: Digest, size: number, supernodes: readonly PeerInfo[]) => readonly PeerInfo[];
  /** The DHT is what there is, from the start and for good. @default false */
  readonly dhtOnly?: boolean;
}

export interface FallbackMetrics {
  /** Peers were named for a blob. */
  answered(from: 'tracker' | 'dht' | 'remembered'): void;
  dht(open: boolean): void;
}

type Source = 'tracker' | 'dht';
export type FoundBy = Source | 'remembered' | 'nobody';

export interface CombinedDiscovery extends DhtDiscovery {
  /** Who names peers now. */
  readonly by: FoundBy;
}

/**
 * Trackers for as long as one of them answers. When none does: the peers that are remembered, at once, and the DHT when
 * those do not do, or the trackers stay away; back to the trackers when they are back.
 */
export function createFallbackDiscovery(
  deps: FallbackDiscoveryDeps,
  options: FallbackDiscoveryOptions,
): CombinedDiscovery {
  return new FallbackDiscovery(deps, options);
}

class FallbackDiscovery implements CombinedDiscovery {
  readonly #deps: FallbackDiscoveryDeps;
  readonly #options: FallbackDiscoveryOptions;
  readonly #shared = new Map<Digest, Announcement>();
  #dht: DhtDiscovery | undefined;
  /** When it was opened, and when its first member was there. */
  #dhtOpenedMs = Number.NEGATIVE_INFINITY;
  #dhtReachedMs = Number.NEGATIVE_INFINITY;
  /** Until then the DHT stays although trackers answer. */
  #dhtUntilMs = Number.NEGATIVE_INFINITY;
  #listener: DiscoveryListener | undefined;
  #settingsListener: (settings: ClusterSettings) => void = () => {};
  #toldSettings: ClusterSettings | undefined;
  /** Trackers are connected, and answer nothing. */
  #silent = false;
  #wasReachable = false;
  #cancelGrace: (() => void) | undefined;
  readonly #gettingBy: GettingBy;
  #cancelLinger: () => void = () => {};
  #cancelSilence: (() => void) | undefined;
  #closed = false;

  constructor(deps: FallbackDiscoveryDeps, options: FallbackDiscoveryOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#gettingBy = new GettingBy(deps.clock, deps.rng);
    const { trackers } = deps;
    trackers.listen(this.#listenerOf('tracker'));
    trackers.listenSettings((settings) => this.#heardSettings(settings, this.#dht));
    if (options.dhtOnly === true) this.#join();
    else if (!trackers.reachable) this.#graceBegins();
  }

  get reachable(): boolean {
    return this.#deps.trackers.reachable || this.#dht?.reachable === true;
  }

  get leases(): Leases {
    return this.#deps.trackers.leases;
  }

  get by(): FoundBy {
    if (!this.#onDht) return 'tracker';
    if (this.#dht?.reachable === true) return 'dht';
    return this.#deps.remembered.all.length > 0 ? 'remembered' : 'nobody';
  }

  get supernodes(): readonly PeerInfo[] {
    const { remembered, trackers } = this.#deps;
    if (!this.#onDht) return trackers.supernodes;
    const { supernodes = trackers.supernodes } = this.#dht ?? {};
    if (supernodes.length > 0 || this.#isSettled) return supernodes;
    return remembered.all.filter(({ role }) => role === 'supernode');
  }

  /**
   * Who is in the DHT is alive; until it has had the time to meet all, so are those of whom trackers told last. Were it
   * to count only the first that it meets, that one would own all blobs, and read again what others are reading.
   */
  #presumed(): readonly PeerInfo[] {
    return this.#isSettled ? [] : this.#deps.trackers.supernodes;
  }

  get #isSettled(): boolean {
    return this.#dht?.reachable === true && !this.#within(SETTLE_MS, this.#dhtReachedMs);
  }

  owner(digest: Digest): PeerInfo | undefined {
    if (!this.#onDht) return this.#deps.trackers.owner(digest);
    return rendezvousOwner(digest, supernodesFor(this.#options.peer.zone, this.supernodes));
  }

  owes(digest: Digest): boolean {
    if (!this.#onDht) return this.#deps.trackers.owes(digest);
    if (this.#dht?.reachable === true) return this.#dht.owes(digest);
    const wanted = this.#shared.has(digest) && this.#shared.get(digest)?.have !== 'all';
    return wanted && this.#dhtReachedMs < this.#dhtOpenedMs && this.#within(JOIN_MS, this.#dhtOpenedMs);
  }

  listen(listener: DiscoveryListener): void {
    this.#listener = listener;
  }

  announce(announcements: readonly Announcement[]): void {
    for (const { digest, have, size } of announcements) this.#shared.set(digest, { digest, have, size });
    this.#deps.trackers.announce(announcements);
    this.#dht?.announce(announcements);
    const wanted = announcements.filter(({ have }) => have !== 'all');
    if (wanted.length === 0) return;
    // What is remembered did not do.
    if (this.#onDht && wanted.some(({ stalled }) => stalled === true)) this.#join();
    if (this.#onDht) this.#deps.clock.after(0, () => this.#nameRemembered(wanted));
    else this.#watch(wanted);
  }

  withdraw(digests: readonly Digest[]): void {
    for (const digest of digests) this.#shared.delete(digest);
    this.#deps.trackers.withdraw(digests);
    this.#dht?.withdraw(digests);
  }

  unreached(peer: PeerInfo): void {
    this.#deps.trackers.unreached(peer);
  }

  reached(peer: PeerInfo): void {
    this.#deps.trackers.reached(peer);
  }

  get settings(): ClusterSettings | undefined {
    const [ours, theirs] = [this.#deps.trackers.settings, this.#dht?.settings];
    return theirs !== undefined && isNewer(theirs, ours) ? theirs : ours;
  }

  shareSettings(settings: ClusterSettings): void {
    this.#deps.trackers.shareSettings(settings);
    this.#dht?.shareSettings(settings);
  }

  listenSettings(listener: (settings: ClusterSettings) => void): void {
    this.#settingsListener = listener;
    const { settings } = this;
    if (settings !== undefined) listener(settings);
  }

  /** Somebody else needs the DHT: it is joined at the latest now, and for a while. */
  async door(): Promise<DhtDoor> {
    if (this.#closed) throw new DamselflyError('PEER_UNREACHABLE', 'this process is stopping');
    this.#dhtUntilMs = this.#deps.clock.now() + LINGER_MS;
    const dht = this.#join();
    this.#leaveLater();
    return await dht.door();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelGrace?.();
    this.#gettingBy.end();
    this.#cancelLinger();
    this.#cancelSilence?.();
    await Promise.all([this.#deps.trackers.close(), this.#dht?.close()]);
  }

  /** Trackers are not what answers now. */
  get #onDht(): boolean {
    return this.#options.dhtOnly === true || this.#silent || !this.#deps.trackers.reachable;
  }

  get #pulls(): boolean {
    return [...this.#shared.values()].some(({ have }) => have !== 'all');
  }

  #within(ms: number, sinceMs: number): boolean {
    return this.#deps.clock.now() - sinceMs < ms;
  }

  #listenerOf(source: Source, isCurrent = (): boolean => true): DiscoveryListener {
    const counts = (): boolean => !this.#closed && isCurrent() && (source === 'dht') === this.#onDht;
    return {
      neighbours: (digest, peers, owned) => {
        if (source === 'tracker') this.#trackersSpeak();
        this.#deps.remembered.note(peers);
        if (!counts() || !this.#shared.has(digest)) return;
        this.#deps.metrics?.answered(source);
        // The DHT may not have met the supernodes yet that trackers told of.
        const known = owned || (source === 'dht' && this.supernodes.length > 0);
        this.#listener?.neighbours(digest, peers, known);
      },
      dial: (peer) => this.#listener?.dial?.(peer),
      reachable: (reachable) => {
        if (this.#closed || !isCurrent()) return;
        if (source === 'tracker') this.#trackersReachable(reachable);
        else if (reachable) this.#dhtReachedMs = this.#deps.clock.now();
        this.#tellReachable();
      },
      supernodesChanged: () => {
        this.#deps.remembered.note(
          (source === 'tracker' ? this.#deps.trackers : this.#dht)?.supernodes ?? [],
        );
        if (counts()) this.#listener?.supernodesChanged?.();
      },
    };
  }

  #trackersReachable(reachable: boolean): void {
    const { remembered, trackers } = this.#deps;
    if (!reachable) {
      this.#graceBegins();
      return;
    }
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    this.#silent = false;
    this.#gettingBy.end();
    remembered.note(trackers.supernodes);
    if (this.#dht === undefined) return;
    this.#dhtUntilMs = Math.max(this.#dhtUntilMs, this.#deps.clock.now() + LINGER_MS);
    this.#leaveLater();
  }

  #graceBegins(): void {
    this.#cancelGrace ??= this.#deps.clock.after(GRACE_MS, () => {
      this.#cancelGrace = undefined;
      this.#deps.log.warn('no tracker answers: peers are found without');
      this.#getBy();
      this.#nameRemembered([...this.#shared.values()].filter(({ have }) => have !== 'all'));
    });
  }

  /** Connected trackers that still owe the answer by then are silent. */
  #watch(wanted: readonly Announcement[]): void {
    const { clock, log, trackers } = this.#deps;
    this.#cancelSilence ??= clock.after(SILENT_MS, () => {
      this.#cancelSilence = undefined;
      if (!wanted.some(({ digest }) => trackers.owes(digest))) return;
      this.#silent = true;
      log.warn('trackers are connected and do not answer: peers are found without');
      this.#getBy();
      this.#nameRemembered(wanted.filter(({ digest }) => this.#shared.has(digest)));
    });
  }

  #trackersSpeak(): void {
    this.#cancelSilence?.();
    this.#cancelSilence = undefined;
    if (!this.#silent) return;
    this.#silent = false;
    this.#gettingBy.end();
    this.#dhtUntilMs = this.#deps.clock.now() + LINGER_MS;
    this.#leaveLater();
  }

  /** Joins the DHT: at once, or later when there are peers to get by with. Supernodes are few, and met in the DHT. */
  #getBy(): void {
    const { remembered } = this.#deps;
    if (this.#options.peer.role === 'supernode' || remembered.all.length === 0) {
      this.#join();
      return;
    }
    this.#gettingBy.begin(
      () => this.#pulls,
      () => this.#join(),
    );
  }

  #join(): DhtDiscovery {
    if (this.#dht !== undefined) return this.#dht;
    const dht = this.#deps.openDht(() => this.#presumed());
    this.#dht = dht;
    this.#dhtOpenedMs = this.#deps.clock.now();
    this.#deps.metrics?.dht(true);
    dht.listen(this.#listenerOf('dht', () => this.#dht === dht));
    const { settings } = this.#deps.trackers;
    if (settings !== undefined) dht.shareSettings(settings);
    dht.listenSettings((news) => this.#heardSettings(news, this.#deps.trackers));
    if (this.#shared.size > 0) dht.announce([...this.#shared.values()]);
    return dht;
  }

  #leaveLater(): void {
    const { clock, trackers } = this.#deps;
    this.#cancelLinger();
    if (this.#options.dhtOnly === true) return;
    this.#cancelLinger = clock.after(Math.max(0, this.#dhtUntilMs - clock.now()), () => {
      if (!trackers.reachable || this.#silent || this.#dht === undefined) return;
      const dht = this.#dht;
      this.#dht = undefined;
      this.#deps.metrics?.dht(false);
      void dht.close();
      this.#tellReachable();
    });
  }

  /**
   * Until the DHT knows better: the supernodes that owned the blob last, and nodes that were there last. A supernode is
   * told whose turn it is among those that it knows: one that was told nothing would read all, as each of the others.
   */
  #nameRemembered(wanted: readonly Announcement[]): void {
    if (this.#closed || !this.#onDht) return;
    const { metrics, remembered } = this.#deps;
    if (this.#dht?.reachable === true) return;
    const { peer, turns } = this.#options;
    if (peer.role === 'supernode') {
      const others = this.supernodes.filter(({ id }) => id !== peer.id);
      for (const { digest, size } of others.length === 0 ? [] : wanted) {
        if (this.#shared.has(digest)) {
          this.#listener?.neighbours(digest, turns(digest, size, [peer, ...others]), true);
        }
      }
      return;
    }
    const nodes = remembered.all.filter(({ role }) => role === 'node').slice(0, REMEMBERED_NODES);
    for (const { digest, size } of wanted) {
      const owners = [...new Set(turns(digest, size, this.supernodes))];
      const peers = [...owners, ...nodes];
      if (peers.length === 0 || !this.#shared.has(digest)) continue;
      metrics?.answered('remembered');
      this.#listener?.neighbours(digest, peers, owners.length > 0);
    }
  }

  #tellReachable(): void {
    const { reachable } = this;
    if (reachable === this.#wasReachable) return;
    this.#wasReachable = reachable;
    this.#listener?.reachable(reachable);
  }

  /** What trackers and the DHT tell is passed on between them. */
  #heardSettings(settings: ClusterSettings, other: Discovery | undefined): void {
    other?.shareSettings(settings);
    if (this.#toldSettings !== undefined && !isNewer(settings, this.#toldSettings)) return;
    this.#toldSettings = settings;
    this.#settingsListener(settings);
  }
}

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
import { DhtStay } from './dht-stay.ts';
import type { Announcement, Discovery, DiscoveryListener } from './discovery.ts';
import { GettingBy } from './getting-by.ts';
import type { Leases } from './leases.ts';
import type { DhtDiscovery } from './libp2p/dht-discovery.ts';
import { rememberedAnswers } from './remembered-answers.ts';

/** A tracker that restarts is back by then; from then on whoever is there helps itself. */
const GRACE_MS = 1500;
/** Trackers that answer nothing for so long are as good as gone, whatever their connections say. */
const SILENT_MS = 3000;

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
  readonly #stay: DhtStay;
  #listener: DiscoveryListener | undefined;
  #settingsListener: (settings: ClusterSettings) => void = () => {};
  #toldSettings: ClusterSettings | undefined;
  /** Trackers are connected, and answer nothing. */
  #silent = false;
  #wasReachable = false;
  #cancelGrace: (() => void) | undefined;
  readonly #gettingBy: GettingBy;
  #cancelSilence: (() => void) | undefined;
  #closed = false;

  constructor(deps: FallbackDiscoveryDeps, options: FallbackDiscoveryOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#gettingBy = new GettingBy(deps.clock, deps.rng);
    this.#stay = new DhtStay(deps.clock, {
      open: () => deps.openDht(() => this.#presumed()),
      joined: (dht) => this.#joined(dht),
      mayLeave: () => deps.trackers.reachable && !this.#silent,
      left: () => {
        deps.metrics?.dht(false);
        this.#tellReachable();
      },
    });
    const { trackers } = deps;
    trackers.listen(this.#listenerOf('tracker'));
    trackers.listenSettings((settings) => this.#heardSettings(settings, this.#stay.dht));
    if (options.dhtOnly === true) this.#stay.join();
    else if (!trackers.reachable) this.#graceBegins();
  }

  get reachable(): boolean {
    return this.#deps.trackers.reachable || this.#stay.dht?.reachable === true;
  }

  get leases(): Leases {
    return this.#deps.trackers.leases;
  }

  get by(): FoundBy {
    if (!this.#onDht) return 'tracker';
    if (this.#stay.dht?.reachable === true) return 'dht';
    return this.#deps.remembered.all.length > 0 ? 'remembered' : 'nobody';
  }

  get supernodes(): readonly PeerInfo[] {
    const { remembered, trackers } = this.#deps;
    if (!this.#onDht) return trackers.supernodes;
    const { supernodes = trackers.supernodes } = this.#stay.dht ?? {};
    if (supernodes.length > 0 || this.#stay.isSettled) return supernodes;
    return remembered.all.filter(({ role }) => role === 'supernode');
  }

  /**
   * Who is in the DHT is alive; until it has had the time to meet all, so are those of whom trackers told last. Were it
   * to count only the first that it meets, that one would own all blobs, and read again what others are reading.
   */
  #presumed(): readonly PeerInfo[] {
    return this.#stay.isSettled ? [] : this.#deps.trackers.supernodes;
  }

  owner(digest: Digest): PeerInfo | undefined {
    if (!this.#onDht) return this.#deps.trackers.owner(digest);
    return rendezvousOwner(digest, supernodesFor(this.#options.peer.zone, this.supernodes));
  }

  owes(digest: Digest): boolean {
    if (!this.#onDht) return this.#deps.trackers.owes(digest);
    if (this.#stay.dht?.reachable === true) return this.#stay.dht.owes(digest);
    const wanted = this.#shared.has(digest) && this.#shared.get(digest)?.have !== 'all';
    return wanted && this.#stay.isJoining;
  }

  listen(listener: DiscoveryListener): void {
    this.#listener = listener;
  }

  announce(announcements: readonly Announcement[]): void {
    for (const { digest, have, size } of announcements) this.#shared.set(digest, { digest, have, size });
    this.#deps.trackers.announce(announcements);
    this.#stay.dht?.announce(announcements);
    const wanted = announcements.filter(({ have }) => have !== 'all');
    if (wanted.length === 0) return;
    // What is remembered did not do.
    if (this.#onDht && wanted.some(({ stalled }) => stalled === true)) this.#stay.join();
    if (this.#onDht) this.#deps.clock.after(0, () => this.#nameRemembered(wanted));
    else this.#watch(wanted);
  }

  withdraw(digests: readonly Digest[]): void {
    for (const digest of digests) this.#shared.delete(digest);
    this.#deps.trackers.withdraw(digests);
    this.#stay.dht?.withdraw(digests);
  }

  unreached(peer: PeerInfo): void {
    this.#deps.trackers.unreached(peer);
  }

  reached(peer: PeerInfo): void {
    this.#deps.trackers.reached(peer);
  }

  get settings(): ClusterSettings | undefined {
    const [ours, theirs] = [this.#deps.trackers.settings, this.#stay.dht?.settings];
    return theirs !== undefined && isNewer(theirs, ours) ? theirs : ours;
  }

  shareSettings(settings: ClusterSettings): void {
    this.#deps.trackers.shareSettings(settings);
    this.#stay.dht?.shareSettings(settings);
  }

  listenSettings(listener: (settings: ClusterSettings) => void): void {
    this.#settingsListener = listener;
    const { settings } = this;
    if (settings !== undefined) listener(settings);
  }

  /** Somebody else needs the DHT: it is joined at the latest now, and for a while. */
  async door(): Promise<DhtDoor> {
    if (this.#closed) throw new DamselflyError('PEER_UNREACHABLE', 'this process is stopping');
    const dht = this.#stay.join();
    this.#leaveLater();
    return await dht.door();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelGrace?.();
    this.#gettingBy.end();
    this.#cancelSilence?.();
    await Promise.all([this.#deps.trackers.close(), this.#stay.close()]);
  }

  /** Trackers are not what answers now. */
  get #onDht(): boolean {
    return this.#options.dhtOnly === true || this.#silent || !this.#deps.trackers.reachable;
  }

  get #pulls(): boolean {
    return [...this.#shared.values()].some(({ have }) => have !== 'all');
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
        else if (reachable) this.#stay.reached();
        this.#tellReachable();
      },
      supernodesChanged: () => {
        this.#deps.remembered.note(
          (source === 'tracker' ? this.#deps.trackers : this.#stay.dht)?.supernodes ?? [],
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
    this.#leaveLater();
  }

  /** Joins the DHT: at once, or later when there are peers to get by with. Supernodes are few, and met in the DHT. */
  #getBy(): void {
    const { remembered } = this.#deps;
    if (this.#options.peer.role === 'supernode' || remembered.all.length === 0) {
      this.#stay.join();
      return;
    }
    this.#gettingBy.begin(
      () => this.#pulls,
      () => this.#stay.join(),
    );
  }

  #joined(dht: DhtDiscovery): void {
    this.#deps.metrics?.dht(true);
    dht.listen(this.#listenerOf('dht', () => this.#stay.dht === dht));
    const { settings } = this.#deps.trackers;
    if (settings !== undefined) dht.shareSettings(settings);
    dht.listenSettings((news) => this.#heardSettings(news, this.#deps.trackers));
    if (this.#shared.size > 0) dht.announce([...this.#shared.values()]);
  }

  #leaveLater(): void {
    if (this.#options.dhtOnly !== true) this.#stay.leaveLater();
  }

  /** Names whom it remembers, until the DHT knows better. */
  #nameRemembered(wanted: readonly Announcement[]): void {
    if (this.#closed || !this.#onDht || this.#stay.dht?.reachable === true) return;
    const { metrics, remembered } = this.#deps;
    const { supernodes } = this;
    const memory = { ...this.#options, supernodes, remembered: remembered.all };
    for (const { digest, owned, peers } of rememberedAnswers(wanted, memory)) {
      if (!this.#shared.has(digest)) continue;
      if (this.#options.peer.role === 'node') metrics?.answered('remembered');
      this.#listener?.neighbours(digest, peers, owned);
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

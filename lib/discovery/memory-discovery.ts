import { type ClusterSettings, isNewer } from '../core/cluster-settings.ts';
import type { Digest } from '../core/digest.ts';
import type { LeaseAnswer, LeaseRef, LeaseWish } from '../core/lease.ts';
import type { PeerInfo } from '../core/node.ts';
import { rendezvousOwner } from '../core/rendezvous.ts';
import { supernodesFor } from '../core/zones.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Announcement, Discovery, DiscoveryListener } from './discovery.ts';
import { LEASE_ANSWER_MS, type Leases } from './leases.ts';

/** What a memory tracker needs of the decision code; TrackerCore of lib/swarm is one. */
export interface NeighbourChooser {
  join(member: PeerInfo, now: number): void;
  leave(id: string, now: number): void;
  announce(
    id: string,
    digestKey: string,
    state: Pick<Announcement, 'have' | 'size' | 'stalled'>,
    now: number,
  ): readonly PeerInfo[];
  withdraw(id: string, digestKey: string): void;
  lease(id: string, wish: LeaseWish, now: number): LeaseAnswer;
  renewLease(id: string, token: number, now: number): LeaseAnswer;
  releaseLease(id: string, token: number, read: boolean, now: number): void;
  /** Supernodes that own the blob. */
  owners(digestKey: string): readonly PeerInfo[];
  readonly supernodes: readonly PeerInfo[];
  readonly epoch: number;
}

export interface MemoryTrackerDeps {
  readonly clock: Clock;
  /** One for each start of the tracker: a healed one knows nothing of what it was told before. */
  readonly createChooser: () => NeighbourChooser;
}

/**
 * A tracker and its network without sockets, for whole clusters in one process: every message takes `latencyMs`, and
 * the same calls in the same order at the same times give the same answers.
 */
export class MemoryTracker {
  readonly clock: Clock;
  /** One way, of messages from now on. */
  latencyMs: number;
  readonly #deps: MemoryTrackerDeps;
  readonly #members = new Set<MemoryDiscovery>();
  #chooser: NeighbourChooser;
  #epoch: number;
  #reachable = true;
  #settings: ClusterSettings | undefined;

  constructor(deps: MemoryTrackerDeps, options: { readonly latencyMs: number }) {
    this.#deps = deps;
    this.clock = deps.clock;
    this.latencyMs = options.latencyMs;
    this.#chooser = deps.createChooser();
    this.#epoch = this.#chooser.epoch;
  }

  /** A process connects; its discovery works like one over the network. */
  connect(peer: PeerInfo): Discovery {
    const member = new MemoryDiscovery(this, peer);
    this.#members.add(member);
    if (this.#reachable) this.#admit(member);
    return member;
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  /** False: the tracker dies and loses what is under way. True: an empty one takes its place. */
  set reachable(reachable: boolean) {
    if (reachable === this.#reachable) return;
    this.#reachable = reachable;
    if (reachable) {
      this.#chooser = this.#deps.createChooser();
      this.#epoch = this.#chooser.epoch;
      this.#settings = undefined;
    }
    for (const member of [...this.#members]) {
      if (reachable) this.#admit(member);
      else member.disconnected();
    }
  }

  /** Does something at the tracker, one message away, if it is still the same tracker by then. @internal */
  deliver(member: MemoryDiscovery, act: (chooser: NeighbourChooser) => void): void {
    const chooser = this.#chooser;
    this.clock.after(this.latencyMs, () => {
      if (!this.#reachable || chooser !== this.#chooser || !this.#members.has(member)) return;
      act(chooser);
      this.#tellEpoch();
    });
  }

  /** Does something at the member, one message away. @internal */
  answer(member: MemoryDiscovery, act: () => void): void {
    const chooser = this.#chooser;
    this.clock.after(this.latencyMs, () => {
      if (this.#reachable && chooser === this.#chooser && this.#members.has(member)) act();
    });
  }

  /** @internal */
  disconnect(member: MemoryDiscovery): void {
    if (!this.#members.delete(member) || !this.#reachable) return;
    this.#chooser.leave(member.peer.id, this.clock.now());
    this.#tellEpoch();
  }

  #admit(member: MemoryDiscovery): void {
    this.deliver(member, (chooser) => {
      chooser.join(member.peer, this.clock.now());
      const { supernodes } = chooser;
      const settings = this.#settings;
      this.answer(member, () => member.connected(supernodes, settings));
    });
  }

  /** Settings have arrived; everybody hears of them when they are news. @internal */
  set(settings: ClusterSettings): void {
    if (!isNewer(settings, this.#settings)) return;
    this.#settings = settings;
    for (const member of this.#members) this.answer(member, () => member.told(settings));
  }

  /** Has a member dial one that cannot dial it. @internal */
  introduce(id: string, to: PeerInfo): void {
    for (const member of this.#members) {
      if (member.peer.id === id) this.answer(member, () => member.dial(to));
    }
  }

  #tellEpoch(): void {
    if (this.#chooser.epoch === this.#epoch) return;
    this.#epoch = this.#chooser.epoch;
    const { supernodes } = this.#chooser;
    for (const member of this.#members) this.answer(member, () => member.supernodesChanged(supernodes));
  }
}

class MemoryDiscovery implements Discovery {
  readonly peer: PeerInfo;
  readonly leases: Leases;
  readonly #tracker: MemoryTracker;
  readonly #shared = new Map<Digest, Announcement>();
  readonly #unanswered = new Set<Digest>();
  #listener: DiscoveryListener | undefined;
  #supernodes: readonly PeerInfo[] = [];
  #settings: ClusterSettings | undefined;
  #settingsListener: (settings: ClusterSettings) => void = () => {};
  #reachable = false;

  constructor(tracker: MemoryTracker, peer: PeerInfo) {
    this.#tracker = tracker;
    this.peer = peer;
    const { id } = peer;
    this.leases = {
      ask: (wish) => this.#question((chooser, now) => chooser.lease(id, wish, now)),
      renew: ({ token }) => this.#question((chooser, now) => chooser.renewLease(id, token, now)),
      release: ({ token }: LeaseRef, read) => {
        if (!this.#reachable) return;
        tracker.deliver(this, (chooser) => chooser.releaseLease(id, token, read, tracker.clock.now()));
      },
    };
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  owes(digest: Digest): boolean {
    return this.#reachable && this.#unanswered.has(digest);
  }

  listen(listener: DiscoveryListener): void {
    this.#listener = listener;
  }

  announce(announcements: readonly Announcement[]): void {
    for (const { digest, size, have } of announcements) this.#shared.set(digest, { digest, size, have });
    if (this.#reachable) this.#send(announcements);
  }

  withdraw(digests: readonly Digest[]): void {
    for (const digest of digests) {
      this.#shared.delete(digest);
      this.#unanswered.delete(digest);
    }
    if (!this.#reachable) return;
    this.#tracker.deliver(this, (chooser) => {
      for (const digest of digests) chooser.withdraw(this.peer.id, digest);
    });
  }

  unreached({ id }: PeerInfo): void {
    if (this.#reachable) this.#tracker.deliver(this, () => this.#tracker.introduce(id, this.peer));
  }

  /** This tracker does not remember who could not be dialled. */
  reached(): void {}

  dial(peer: PeerInfo): void {
    if (this.#reachable) this.#listener?.dial?.(peer);
  }

  async close(): Promise<void> {
    this.#reachable = false;
    this.#tracker.disconnect(this);
  }

  get supernodes(): readonly PeerInfo[] {
    return this.#supernodes;
  }

  owner(digest: Digest): PeerInfo | undefined {
    return rendezvousOwner(digest, supernodesFor(this.peer.zone, this.#supernodes));
  }

  get settings(): ClusterSettings | undefined {
    return this.#settings;
  }

  listenSettings(listener: (settings: ClusterSettings) => void): void {
    this.#settingsListener = listener;
    if (this.#settings !== undefined) listener(this.#settings);
  }

  shareSettings(settings: ClusterSettings): void {
    if (!isNewer(settings, this.#settings)) return;
    this.#settings = settings;
    if (this.#reachable) this.#tracker.deliver(this, () => this.#tracker.set(settings));
  }

  /** What the tracker says that the newest settings are. */
  told(settings: ClusterSettings | undefined): void {
    const known = this.#settings;
    if (known !== undefined && (settings === undefined || isNewer(known, settings))) {
      this.#tracker.deliver(this, () => this.#tracker.set(known));
    } else if (settings !== undefined) {
      this.#settings = settings;
      this.#settingsListener(settings);
    }
  }

  connected(supernodes: readonly PeerInfo[], settings: ClusterSettings | undefined): void {
    this.#supernodes = supernodes;
    this.#reachable = true;
    this.told(settings);
    this.#listener?.reachable(true);
    this.#send([...this.#shared.values()]);
  }

  disconnected(): void {
    if (!this.#reachable) return;
    this.#reachable = false;
    this.#listener?.reachable(false);
  }

  supernodesChanged(supernodes: readonly PeerInfo[]): void {
    if (!this.#reachable) return;
    this.#supernodes = supernodes;
    this.#send([...this.#shared.values()].filter(({ have }) => have !== 'all'));
    this.#listener?.supernodesChanged?.();
  }

  #question(ask: (chooser: NeighbourChooser, now: number) => LeaseAnswer): Promise<LeaseAnswer | undefined> {
    if (!this.#reachable) return Promise.resolve(undefined);
    const { clock } = this.#tracker;
    return new Promise((resolve) => {
      const cancelTimeout = clock.after(LEASE_ANSWER_MS, () => resolve(undefined));
      this.#tracker.deliver(this, (chooser) => {
        const answer = ask(chooser, clock.now());
        this.#tracker.answer(this, () => {
          cancelTimeout();
          resolve(answer);
        });
      });
    });
  }

  #send(announcements: readonly Announcement[]): void {
    if (announcements.length === 0) return;
    for (const { digest, have } of announcements) {
      if (have === 'all') this.#unanswered.delete(digest);
      else this.#unanswered.add(digest);
    }
    this.#tracker.deliver(this, (chooser) => {
      const now = this.#tracker.clock.now();
      for (const announcement of announcements) {
        const { digest, have } = announcement;
        const peers = chooser.announce(this.peer.id, digest, announcement, now);
        const owned = chooser.owners(digest).length > 0;
        if (have !== 'all') this.#tracker.answer(this, () => this.#found(digest, peers, owned));
      }
    });
  }

  #found(digest: Digest, peers: readonly PeerInfo[], owned: boolean): void {
    this.#unanswered.delete(digest);
    if (this.#shared.has(digest)) this.#listener?.neighbours(digest, peers, owned);
  }
}

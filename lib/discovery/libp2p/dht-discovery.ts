import { type ClusterSettings, isNewer } from '../../core/cluster-settings.ts';
import type { Digest } from '../../core/digest.ts';
import { DamselflyError, describeError } from '../../core/errors.ts';
import type { PeerInfo } from '../../core/node.ts';
import { rendezvousOwner } from '../../core/rendezvous.ts';
import { supernodesFor } from '../../core/zones.ts';
import type { BlobKey, DhtDoor, MemberAnswer, MemberQuestion } from '../../wire/member-codec.ts';
import type { Announcement, Discovery, DiscoveryListener } from '../discovery.ts';
import { NO_LEASES } from '../leases.ts';
import type { ClusterKeys } from './cluster-keys.ts';
import type { Dht, DhtListener, Heard, MemberId, OpenDht } from './dht.ts';
import { Members, type MembersDeps } from './members.ts';
import { Publisher } from './publisher.ts';
import { Seeker } from './seeker.ts';
import { SoughtBlob } from './sought-blob.ts';

/** When supernodes come or go, everybody hears of the new owners within this time. */
const OWNERS_JITTER_MS = 200;
/** Supernodes are looked up so often, besides what members tell of them. */
const SUPERNODES_MS = 30_000;

export interface DhtDiscoveryDeps extends MembersDeps {
  readonly open: OpenDht;
  readonly keys: ClusterKeys;
  /** Supernodes that count as alive although nobody has met them here yet: without them others would own their blobs. */
  readonly presumed?: () => readonly PeerInfo[];
  readonly metrics?: DhtMetrics | undefined;
}

export interface DhtDiscoveryOptions {
  readonly peer: PeerInfo;
  /** Who reads the blob in which turn, of these supernodes: the same for everybody who knows the same ones. */
  readonly turns: (digest: Digest, size: number, supernodes: readonly PeerInfo[]) => readonly PeerInfo[];
}

export interface DhtMetrics {
  members(count: number): void;
  records(count: number): void;
  published(outcome: 'ok' | 'failed'): void;
  sought(outcome: 'found' | 'nobody'): void;
}

/** Discovery by a DHT, which others may join by way of this process. */
export interface DhtDiscovery extends Discovery {
  /** Where it is reached on this machine. @throws PEER_UNREACHABLE when it could not be opened */
  door(): Promise<DhtDoor>;
}

/** Finds peers without any tracker: every process is a member of one DHT, and answers for the blobs that it shares. */
export function createDhtDiscovery(deps: DhtDiscoveryDeps, options: DhtDiscoveryOptions): DhtDiscovery {
  return new MemberDiscovery(deps, options);
}

class MemberDiscovery implements DhtDiscovery {
  readonly leases = NO_LEASES;
  readonly #deps: DhtDiscoveryDeps;
  readonly #options: DhtDiscoveryOptions;
  readonly #members: Members;
  readonly #publisher: Publisher;
  readonly #seeker: Seeker;
  readonly #shared = new Map<Digest, SoughtBlob>();
  readonly #byKey = new Map<BlobKey, Digest>();
  readonly #unanswered = new Set<Digest>();
  readonly #opening: Promise<void>;
  #dht: Dht | undefined;
  #listener: DiscoveryListener | undefined;
  #settings: ClusterSettings | undefined;
  /** The listener has heard of these. */
  #toldSettings: ClusterSettings | undefined;
  #settingsListener: (settings: ClusterSettings) => void = () => {};
  #cancelOwners: () => void = () => {};
  #cancelLookup: () => void = () => {};
  #closed = false;

  constructor(deps: DhtDiscoveryDeps, options: DhtDiscoveryOptions) {
    this.#deps = deps;
    this.#options = options;
    const { clock, metrics, rng } = deps;
    this.#members = new Members(deps, {
      self: () => ({
        peer: options.peer,
        ...(this.#settings === undefined ? {} : { settings: this.#settings }),
      }),
      heard: (message) => this.#heard(message),
      reachable: (reachable) => this.#reachable(reachable),
      supernodesChanged: () => this.#supernodesChanged(),
    });
    this.#publisher = new Publisher({
      clock,
      rng,
      provide: async (key, signal) => await this.#dht?.provide(key, signal),
      forget: (key) => void this.#dht?.forget(key).catch(() => {}),
      published: (key) => {
        metrics?.published('ok');
        // Of two that join together the one whose record is written last finds the other.
        this.#seek(this.#byKey.get(key));
      },
      failed: () => metrics?.published('failed'),
    });
    this.#seeker = new Seeker({
      clock,
      rng,
      ask: (member, keys) => this.#members.ask(member, keys),
      here: () => this.#members.here,
    });
    if (options.peer.role === 'supernode') this.#publisher.add(deps.keys.supernodes);
    const listener: DhtListener = {
      asked: (member, question) => this.#asked(member, question),
      connected: (member) => this.#members.connected(member),
      disconnected: (member) => {
        this.#members.disconnected(member);
        metrics?.members(this.#members.here.length);
      },
    };
    this.#opening = deps.open(listener).then(
      async (dht) => {
        if (this.#closed) return await dht.close();
        this.#dht = dht;
        this.#members.start(dht);
      },
      (error: unknown) => deps.log.error({ error: describeError(error) }, 'the DHT cannot be joined'),
    );
  }

  get reachable(): boolean {
    return !this.#closed && this.#members.reachable;
  }

  get supernodes(): readonly PeerInfo[] {
    const known = [...(this.#deps.presumed?.() ?? []), ...this.#members.supernodes];
    const own = this.#options.peer.id;
    return [...new Map(known.map((peer) => [peer.id, peer])).values()].filter(({ id }) => id !== own);
  }

  owes(digest: Digest): boolean {
    return this.reachable && this.#unanswered.has(digest);
  }

  owner(digest: Digest): PeerInfo | undefined {
    return rendezvousOwner(digest, supernodesFor(this.#options.peer.zone, this.supernodes));
  }

  listen(listener: DiscoveryListener): void {
    this.#listener = listener;
  }

  announce(announcements: readonly Announcement[]): void {
    const asking: SoughtBlob[] = [];
    for (const { stalled, ...announcement } of announcements) {
      const shared = this.#share(announcement);
      if (announcement.have === 'all') {
        this.#unanswered.delete(announcement.digest);
        continue;
      }
      this.#unanswered.add(announcement.digest);
      shared.asked(stalled === true);
      asking.push(shared);
    }
    // As over a network: the answer comes after the call.
    this.#deps.clock.after(0, () => {
      for (const shared of asking) this.#answer(shared);
    });
  }

  unreached(): void {}

  reached(): void {}

  withdraw(digests: readonly Digest[]): void {
    for (const digest of digests) {
      const shared = this.#shared.get(digest);
      this.#shared.delete(digest);
      this.#unanswered.delete(digest);
      if (shared === undefined) continue;
      this.#byKey.delete(shared.key);
      this.#publisher.remove(shared.key);
    }
    this.#deps.metrics?.records(this.#publisher.size);
  }

  get settings(): ClusterSettings | undefined {
    return this.#settings;
  }

  shareSettings(settings: ClusterSettings): void {
    if (!isNewer(settings, this.#settings)) return;
    this.#settings = settings;
    this.#members.tellAll();
  }

  listenSettings(listener: (settings: ClusterSettings) => void): void {
    this.#settingsListener = listener;
    if (this.#settings !== undefined) listener(this.#settings);
  }

  async door(): Promise<DhtDoor> {
    await this.#opening;
    if (this.#dht !== undefined && !this.#closed) return this.#dht.door;
    throw new DamselflyError('PEER_UNREACHABLE', 'this process is not in the DHT');
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#cancelOwners();
      this.#cancelLookup();
      this.#publisher.close();
      this.#seeker.close();
      this.#members.close();
    }
    await this.#opening;
    await this.#dht?.close();
  }

  #share(announcement: Announcement): SoughtBlob {
    const { digest } = announcement;
    const known = this.#shared.get(digest);
    if (known !== undefined) {
      known.announcement = announcement;
      return known;
    }
    const key = this.#deps.keys.blob(digest);
    const shared = new SoughtBlob(announcement, key);
    this.#shared.set(digest, shared);
    this.#byKey.set(key, digest);
    // Supernodes are found as owners: they need no record of each of all their blobs.
    if (this.#options.peer.role === 'node') this.#publisher.add(key);
    this.#deps.metrics?.records(this.#publisher.size);
    return shared;
  }

  /** Tells who owns the blob at once, and who shares it as they are found. */
  #answer(shared: SoughtBlob): void {
    const { announcement } = shared;
    if (!this.reachable || this.#shared.get(announcement.digest) !== shared) return;
    if (this.#options.peer.role === 'supernode') {
      this.#unanswered.delete(announcement.digest);
      this.#tell(shared, this.#turns(announcement));
      return;
    }
    const owners = this.#owners(announcement);
    if (owners.length > 0) this.#tell(shared, owners);
    for (const peer of shared.takeSpare()) this.#found(shared, peer);
    this.#seek(announcement.digest);
  }

  #seek(digest: Digest | undefined): void {
    const dht = this.#dht;
    const shared = digest === undefined ? undefined : this.#shared.get(digest);
    if (dht === undefined || shared === undefined || shared.announcement.have === 'all') return;
    if (!this.reachable || this.#options.peer.role === 'supernode') return;
    if (shared.seeking) {
      shared.again = true;
      return;
    }
    shared.seeking = true;
    let found = 0;
    const search = this.#seeker.seek(dht, shared.key, ({ peer }) => {
      if (peer.role === 'supernode') return;
      found++;
      this.#found(shared, peer);
    });
    void search.then(() => {
      shared.seeking = false;
      this.#deps.metrics?.sought(found > 0 ? 'found' : 'nobody');
      if (shared.again) {
        shared.again = false;
        this.#seek(digest);
      } else this.#finish(shared);
    });
  }

  /** All that could be found was: were it nobody, the listener is to know. */
  #finish(shared: SoughtBlob): void {
    const { announcement } = shared;
    if (!this.#unanswered.delete(announcement.digest) || !this.reachable) return;
    if (shared.toldNobody) this.#tell(shared, this.#owners(announcement));
  }

  /** The node shares the blob. */
  #found(shared: SoughtBlob, peer: PeerInfo): void {
    if (this.#shared.get(shared.announcement.digest) !== shared) return;
    if (shared.found(peer)) this.#tell(shared, [peer]);
  }

  #tell({ announcement }: SoughtBlob, peers: readonly PeerInfo[]): void {
    const owned = this.#owners(announcement).length > 0;
    this.#guard(() => this.#listener?.neighbours(announcement.digest, peers, owned));
  }

  #turns({ digest, size }: Announcement): readonly PeerInfo[] {
    const own = this.#options.peer;
    const all = own.role === 'supernode' ? [own, ...this.supernodes] : this.supernodes;
    return this.#options.turns(digest, size, all);
  }

  #owners(announcement: Announcement): readonly PeerInfo[] {
    return [...new Set(this.#turns(announcement))];
  }

  /** A member asks who we are and what we share. */
  async #asked(member: MemberId, heard: Heard<MemberQuestion>): Promise<MemberAnswer> {
    const peer = this.#members.asked(member, heard);
    const shares: BlobKey[] = [];
    for (const key of heard.message.keys) {
      const shared = this.#shared.get(this.#byKey.get(key) ?? ('' as Digest));
      if (shared === undefined) continue;
      shares.push(key);
      // Who lacks it shares it too.
      if (shared.announcement.have !== 'all' && peer.role === 'node') this.#found(shared, peer);
    }
    return { ...(await this.#members.ourself()), shares };
  }

  #heard({ settings }: Pick<MemberQuestion, 'settings'>): void {
    this.#deps.metrics?.members(this.#members.here.length);
    const known = this.#settings;
    if (settings === undefined) return;
    const news = isNewer(settings, known);
    // Older ones than ours: our own message carries better, and so will our next.
    if (!news && known !== undefined && isNewer(known, settings)) return;
    if (this.#deps.identities?.obeys(settings) === false) return;
    this.#settings = settings;
    if (news) this.#members.tellAll();
    if (this.#toldSettings === undefined || isNewer(settings, this.#toldSettings)) {
      this.#toldSettings = settings;
      this.#guard(() => this.#settingsListener(settings));
    }
  }

  #reachable(reachable: boolean): void {
    this.#deps.metrics?.members(this.#members.here.length);
    this.#publisher.pause(!reachable);
    if (reachable) {
      this.#publisher.renewAll();
      this.#lookUpSupernodes();
    } else this.#cancelLookup();
    this.#guard(() => this.#listener?.reachable(reachable));
    if (!reachable) return;
    for (const shared of this.#shared.values()) {
      if (shared.announcement.have === 'all') continue;
      this.#unanswered.add(shared.announcement.digest);
      this.#answer(shared);
    }
  }

  #lookUpSupernodes(): void {
    const { clock, keys, rng } = this.#deps;
    this.#cancelLookup();
    this.#cancelLookup = clock.after(SUPERNODES_MS * (0.75 + rng.float() / 2), () =>
      this.#lookUpSupernodes(),
    );
    this.#members.recheck();
    // To ask one is to meet it.
    if (this.#dht !== undefined) void this.#seeker.seek(this.#dht, keys.supernodes, () => {});
  }

  #supernodesChanged(): void {
    const { clock, rng } = this.#deps;
    this.#cancelOwners();
    this.#cancelOwners = clock.after(rng.float() * OWNERS_JITTER_MS, () => {
      for (const shared of this.#shared.values()) {
        if (shared.announcement.have !== 'all') this.#tell(shared, this.#owners(shared.announcement));
      }
    });
    this.#guard(() => this.#listener?.supernodesChanged?.());
  }

  /** A listener that throws is a bug of its owner and must not cost us a member. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#deps.log.error({ problem: describeError(error) }, 'discovery listener failed');
    }
  }
}

import type { LeaseAnswer, LeaseWish } from '../core/lease.ts';
import type { PeerInfo } from '../core/node.ts';
import type { Rng } from '../runtime/rng.ts';
import { type Grant, LeaseTable } from './lease-table.ts';
import { Overlay } from './overlay.ts';
import { type Dealt, dealAll, turnsFor } from './sites.ts';
import { type Among, type Member, type Place, TrackedSwarm } from './tracked-swarm.ts';
import { DEFAULT_TRACKER_CORE_OPTIONS, type TrackerCoreOptions } from './tracker-core-options.ts';

/** A swarm of n sends n-th comers on to its seeds with probability seedLinks/2n: some 130 of 10,000. */
const LATECOMER_SEED_SHARE = 0.5;

/** What a member tells about its pieces of a blob. */
export interface AnnounceState {
  /** `none` wants all, `some` holds verified pieces, `all` wants nothing. */
  readonly have: 'none' | 'some' | 'all';
  /** Whole blob, bytes. @default a large one */
  readonly size?: number;
  /** Its neighbours are of no use: give it others, and the owning supernodes. */
  readonly stalled?: boolean;
}

/**
 * Who is in the cluster, who shares which blob, and who should talk to whom: a random graph for each swarm in which
 * newcomers are linked to nodes that joined before them. Pure; time in milliseconds; an announcement costs O(degree).
 */
export class TrackerCore {
  readonly #options: TrackerCoreOptions;
  readonly #rng: Rng;
  readonly #members = new Map<string, Member>();
  readonly #swarms = new Map<string, TrackedSwarm>();
  /** Who reads what from registries. */
  readonly leases: LeaseTable;
  /** Called when a node shares a blob no more, however that came. */
  onExit: (id: string, digestKey: string) => void = () => {};
  readonly #overlay: Overlay;
  #among: Among;

  constructor(options: Partial<TrackerCoreOptions>, rng: Rng) {
    this.#options = { ...DEFAULT_TRACKER_CORE_OPTIONS, ...options };
    this.#rng = rng;
    this.#overlay = new Overlay(this.#options, rng);
    this.leases = new LeaseTable(this.#options.firstLeaseToken);
    this.#among = { supernodes: [], epoch: 0, most: this.#options.ownersPerBlob };
  }

  /** Adds the member, or updates its address; a known one keeps its swarms unless its zone or role changed. */
  join(info: PeerInfo, now: number): void {
    const known = this.#members.get(info.id);
    if (known !== undefined && (known.info.zone !== info.zone || known.info.role !== info.role)) {
      this.leave(info.id, now);
    }
    const member = this.#members.get(info.id);
    if (member === undefined) {
      this.#members.set(info.id, { info, seenAt: now, places: new Map(), linked: new Map() });
    } else {
      const moved = member.info.host !== info.host || member.info.port !== info.port;
      this.seen(info.id, now);
      if (!moved) return;
      member.info = info;
    }
    if (info.role === 'supernode') this.#supernodesChanged();
  }

  /** Removes the member and all its links. */
  leave(id: string, _now: number): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    for (const place of [...member.places.values()]) this.#exit(place);
    this.#members.delete(id);
    this.leases.forget(id);
    if (member.info.role === 'supernode') this.#supernodesChanged();
  }

  /** The member lives. */
  seen(id: string, now: number): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    member.seenAt = now;
  }

  /** Removes members not seen for longer than `ttlMs` says. @returns their ids */
  expire(now: number, ttlMs: (info: PeerInfo) => number): string[] {
    const gone: string[] = [];
    for (const [id, { info, seenAt }] of this.#members) if (now - seenAt > ttlMs(info)) gone.push(id);
    for (const id of gone) this.leave(id, now);
    return gone;
  }

  /**
   * The member shares the blob, or says so again.
   * @returns whom it should connect to: owning supernodes first, then nodes, never itself; nobody for an unknown id or
   * one that has all pieces. A supernode is told who reads in which turn, itself included: see {@link turns}
   */
  announce(id: string, digestKey: string, state: AnnounceState, now: number): readonly PeerInfo[] {
    const member = this.#members.get(id);
    if (member === undefined) return [];
    member.seenAt = now;
    const { size = Number.POSITIVE_INFINITY } = state;
    if (member.info.role === 'supernode') {
      return state.have === 'all' ? [] : turnsFor(member.info, this.#dealt(digestKey, size));
    }
    const known = this.#placeOf(member, digestKey);
    const place = known ?? this.#enter(member, digestKey, size);
    place.have = state.have;
    if (state.have === 'all') {
      place.swarm.releaseSeeds(place);
      return [];
    }
    const stalled = state.stalled === true;
    // What crosses the border of a zone with supernodes is theirs to bring.
    const site = place.swarm.dealtAmong(this.#among).sites.has(member.info.zone);
    const linked = this.#overlay.linkMore(place, { newcomer: known === undefined, stalled, site });
    const peers: PeerInfo[] = [];
    this.#addSeeds(place, stalled, peers);
    const from = stalled ? place.neighbours.length - linked : 0;
    for (let i = from; i < place.neighbours.length; i++) peers.push(place.neighbours[i]!.member.info);
    return peers;
  }

  /** The member no longer shares the blob. */
  withdraw(id: string, digestKey: string): void {
    const place = this.#placeOf(this.#members.get(id), digestKey);
    if (place !== undefined) this.#exit(place);
    this.leases.forget(id, digestKey);
  }

  /** A node shares the blob, whoever was told: others may be linked to it. @returns whether it is a known node */
  note(id: string, digestKey: string, { have, size = Number.POSITIVE_INFINITY }: AnnounceState): boolean {
    const member = this.#members.get(id);
    if (member === undefined || member.info.role === 'supernode') return false;
    const place = this.#placeOf(member, digestKey) ?? this.#enter(member, digestKey, size);
    place.have = have;
    return true;
  }

  /** Takes back what {@link note} said. */
  unnote(id: string, digestKey: string): void {
    const place = this.#placeOf(this.#members.get(id), digestKey);
    if (place !== undefined) this.#exit(place);
  }

  /** Blobs that nodes share. */
  blobs(): IterableIterator<string> {
    return this.#swarms.keys();
  }

  /** The nodes that share the blob, and what they have of it. */
  *sharers(digestKey: string): Iterable<{ readonly info: PeerInfo; readonly have: AnnounceState['have'] }> {
    for (const { have, member } of this.#swarms.get(digestKey)?.places() ?? []) {
      yield { info: member.info, have };
    }
  }

  /** May the member read one of these stripes from the registry? */
  lease(id: string, wish: LeaseWish, now: number): LeaseAnswer {
    const nodes = this.#members.size - this.#among.supernodes.length;
    return this.#named(this.leases.ask({ ...wish, holder: id }, nodes, now));
  }

  /** The member makes progress with what it reads under a lease. */
  renewLease(id: string, token: number, now: number): LeaseAnswer {
    return this.#named(this.leases.renew(id, token, now));
  }

  /** It has ended. @param read whether nothing of the stripe is left to read */
  releaseLease(id: string, token: number, read: boolean, now: number): void {
    this.leases.release(id, token, read, now);
  }

  /** Removes leases that have run out. @returns how many */
  expireLeases(now: number): number {
    return this.leases.expire(now);
  }

  #named(grant: Grant): LeaseAnswer {
    if (grant.kind === 'granted') return grant;
    return { ...grant, holders: grant.holders.flatMap((id) => this.#members.get(id)?.info ?? []) };
  }

  /** Whether the member has announced the blob. */
  shares(id: string, digestKey: string): boolean {
    return this.haveOf(id, digestKey) !== undefined;
  }

  /** What the node has of the blob; undefined when it does not share it. */
  haveOf(id: string, digestKey: string): AnnounceState['have'] | undefined {
    return this.#placeOf(this.#members.get(id), digestKey)?.have;
  }

  member(id: string): PeerInfo | undefined {
    return this.#members.get(id)?.info;
  }

  /** Live supernodes. */
  get supernodes(): readonly PeerInfo[] {
    return this.#among.supernodes;
  }

  /** Supernodes that read the blob from the registry, by rendezvous hashing: the first one first. */
  owners(digestKey: string): readonly PeerInfo[] {
    return [...new Set(this.turns(digestKey))];
  }

  /**
   * Turn -> the supernode that reads in it from the registry.
   * @param size of the blob, should nobody share it yet
   */
  turns(digestKey: string, size?: number): readonly PeerInfo[] {
    return this.#dealt(digestKey, size).readers;
  }

  /** Grows by one whenever a supernode comes, goes or moves. */
  get epoch(): number {
    return this.#among.epoch;
  }

  get counts(): {
    readonly members: number;
    readonly swarms: number;
    readonly links: number;
    readonly leases: number;
  } {
    const { size: members } = this.#members;
    return { members, swarms: this.#swarms.size, links: this.#overlay.links, leases: this.leases.size };
  }

  #placeOf(member: Member | undefined, digestKey: string): Place | undefined {
    const swarm = this.#swarms.get(digestKey);
    return swarm && member?.places.get(swarm);
  }

  #enter(member: Member, digestKey: string, size: number): Place {
    let swarm = this.#swarms.get(digestKey);
    if (swarm === undefined) {
      swarm = new TrackedSwarm(digestKey, size);
      this.#swarms.set(digestKey, swarm);
    }
    return swarm.enter(member);
  }

  #exit(place: Place): void {
    this.#overlay.exit(place);
    this.onExit(place.member.info.id, place.swarm.key);
    if (place.swarm.size > 0) return;
    this.#swarms.delete(place.swarm.key);
  }

  #supernodesChanged(): void {
    const supernodes: PeerInfo[] = [];
    for (const { info } of this.#members.values()) if (info.role === 'supernode') supernodes.push(info);
    this.#among = { ...this.#among, supernodes, epoch: this.#among.epoch + 1 };
  }

  #dealt(digestKey: string, size = Number.POSITIVE_INFINITY): Dealt<PeerInfo> {
    const { most, supernodes } = this.#among;
    const swarm = this.#swarms.get(digestKey);
    return swarm?.dealtAmong(this.#among) ?? dealAll(digestKey, size, supernodes, undefined, most);
  }

  /** The supernodes that own the blob for the node's zone. */
  #ownersFor({ member, swarm }: Place): readonly Member[] {
    // First: it forgets owners of before.
    const dealt = swarm.dealtAmong(this.#among);
    const { zone } = member.info;
    let owners = swarm.owners.get(zone);
    if (owners === undefined) {
      owners = [...new Set(turnsFor(member.info, dealt))].map(({ id }) => this.#members.get(id)!);
      swarm.owners.set(zone, owners);
    }
    return owners;
  }

  /**
   * Adds owning supernodes that have room for the node, or already look after it; all of them when it is stalled. Now and
   * then one without room too: the first comers are mostly linked among themselves, and a crowd must not depend on them.
   */
  #addSeeds(place: Place, stalled: boolean, peers: PeerInfo[]): void {
    const { swarm } = place;
    const { seedLinks } = this.#options;
    const lucky = this.#rng.float() * swarm.size < seedLinks * LATECOMER_SEED_SHARE;
    for (const seed of this.#ownersFor(place)) {
      const cared = place.seeds.includes(seed) || swarm.seedLinks(seed) < seedLinks;
      if (!stalled && !lucky && !cared) continue;
      swarm.linkSeed(place, seed);
      peers.push(seed.info);
    }
  }
}

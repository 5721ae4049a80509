import type { LeaseAnswer, LeaseWish } from '../core/lease.ts';
import type { PeerInfo } from '../core/node.ts';
import type { Rng } from '../runtime/rng.ts';
import { type Grant, LeaseTable } from './lease-table.ts';
import { type Dealt, dealAll, turnsFor } from './sites.ts';
import { MOST_OWNERS } from './stripes.ts';
import { link, type Member, type Place, TrackedSwarm, unlink } from './tracked-swarm.ts';

/** How a {@link TrackerCore} links members. */
export interface TrackerCoreOptions {
  /** Already joined nodes of its zone that a newcomer is linked to; later ones bring more. @default 3 */
  readonly newcomerLinks: number;
  /** The same for nodes of other zones. @default 2 */
  readonly remoteLinks: number;
  /** A node with fewer neighbours of its zone in a swarm gets so many when it announces again. @default 10 */
  readonly degree: number;
  /** Most neighbours of a node in one swarm. @default 20 */
  readonly degreeCap: number;
  /** Nodes of one swarm that are sent to each of its supernodes at a time. @default 48 */
  readonly seedLinks: number;
  /** Most supernodes of a site that own a blob together; one alone owns a small one. @default 3 */
  readonly ownersPerBlob: number;
  /** Larger than any token that a tracker before this one has given away. @default 1 */
  readonly firstLeaseToken: number;
}

const DEFAULT_OPTIONS: TrackerCoreOptions = {
  newcomerLinks: 3,
  remoteLinks: 2,
  degree: 10,
  degreeCap: 20,
  seedLinks: 48,
  ownersPerBlob: MOST_OWNERS,
  firstLeaseToken: 1,
};

/** Random candidates looked at for each link: enough to find one of low degree, few enough to stay cheap. */
const CANDIDATES_PER_LINK = 2;
/** More of them for who comes back: a newcomer that takes the least linked ones meets only those who came just before. */
const FILL_CANDIDATES_PER_LINK = 4;
/** A swarm of n sends n-th comers on to its seeds with probability seedLinks/2n: some 130 of 10,000. */
const LATECOMER_SEED_SHARE = 0.5;
/** More than any degree: candidates without a piece come last for a node that found nobody of use. */
const EMPTY_HANDED = 1000;

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
  #supernodes: readonly PeerInfo[] = [];
  #epoch = 0;
  #links = 0;
  /** Candidates of the choice under way, and their scores. */
  readonly #candidates: Place[] = [];

  constructor(options: Partial<TrackerCoreOptions>, rng: Rng) {
    this.#options = { ...DEFAULT_OPTIONS, ...options };
    this.#rng = rng;
    this.leases = new LeaseTable(this.#options.firstLeaseToken);
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
    this.seen(id, now);
    const { size = Number.POSITIVE_INFINITY } = state;
    if (member.info.role === 'supernode') {
      return state.have === 'all' ? [] : turnsFor(member.info, this.#dealt(digestKey, size));
    }
    const known = member.places.get(digestKey);
    const place = known ?? this.#enter(member, digestKey, size);
    place.have = state.have;
    if (state.have === 'all') {
      place.swarm.releaseSeeds(place);
      return [];
    }
    const stalled = state.stalled === true;
    const linked = this.#linkMore(place, known === undefined, stalled);
    const peers = this.#seedsFor(place, stalled).map((seed) => seed.info);
    const from = stalled ? place.neighbours.length - linked : 0;
    for (let i = from; i < place.neighbours.length; i++) peers.push(place.neighbours[i]!.member.info);
    return peers;
  }

  /** The member no longer shares the blob. */
  withdraw(id: string, digestKey: string): void {
    const place = this.#members.get(id)?.places.get(digestKey);
    if (place !== undefined) this.#exit(place);
    this.leases.forget(id, digestKey);
  }

  /** The node shares the blob, as somebody else has heard from it: others may be linked to it. */
  note(id: string, digestKey: string, have: AnnounceState['have']): void {
    const member = this.#members.get(id);
    if (member === undefined || member.info.role === 'supernode') return;
    const place = member.places.get(digestKey) ?? this.#enter(member, digestKey, Number.POSITIVE_INFINITY);
    place.have = have;
  }

  /** Takes back what {@link note} said. */
  unnote(id: string, digestKey: string): void {
    const place = this.#members.get(id)?.places.get(digestKey);
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
    const nodes = this.#members.size - this.#supernodes.length;
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
    return this.#members.get(id)?.places.get(digestKey)?.have;
  }

  member(id: string): PeerInfo | undefined {
    return this.#members.get(id)?.info;
  }

  /** Live supernodes. */
  get supernodes(): readonly PeerInfo[] {
    return this.#supernodes;
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
    return this.#epoch;
  }

  get counts(): {
    readonly members: number;
    readonly swarms: number;
    readonly links: number;
    readonly leases: number;
  } {
    const { size: members } = this.#members;
    return { members, swarms: this.#swarms.size, links: this.#links, leases: this.leases.size };
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
    this.#links -= place.swarm.exit(place);
    this.onExit(place.member.info.id, place.swarm.key);
    if (place.swarm.size > 0) return;
    this.#swarms.delete(place.swarm.key);
  }

  #supernodesChanged(): void {
    this.#epoch++;
    const supernodes: PeerInfo[] = [];
    for (const { info } of this.#members.values()) if (info.role === 'supernode') supernodes.push(info);
    this.#supernodes = supernodes;
  }

  #dealt(digestKey: string, size = Number.POSITIVE_INFINITY): Dealt<PeerInfo> {
    const among = { supernodes: this.#supernodes, epoch: this.#epoch, most: this.#options.ownersPerBlob };
    const swarm = this.#swarms.get(digestKey);
    return swarm?.dealtAmong(among) ?? dealAll(digestKey, size, among.supernodes, undefined, among.most);
  }

  /**
   * Owning supernodes that have room for the node, or already look after it; all of them when it is stalled. Now and
   * then one without room too: the first comers are mostly linked among themselves, and a crowd must not depend on them.
   */
  #seedsFor(place: Place, stalled: boolean): Member[] {
    const { swarm } = place;
    const { seedLinks } = this.#options;
    const lucky = this.#rng.float() * swarm.size < seedLinks * LATECOMER_SEED_SHARE;
    const owners = new Set(turnsFor(place.member.info, this.#dealt(swarm.key)));
    const seeds = [...owners]
      .flatMap(({ id }) => this.#members.get(id) ?? [])
      .filter((seed) => stalled || lucky || place.seeds.includes(seed) || swarm.seedLinks(seed) < seedLinks);
    for (const seed of seeds) swarm.linkSeed(place, seed);
    return seeds;
  }

  /**
   * Links a newcomer to a few (later comers bring more), fills up a node that has been here for a while, and gives a
   * stalled one as many new ones as a newcomer. @returns how many links were made
   */
  #linkMore(place: Place, newcomer: boolean, stalled: boolean): number {
    const { newcomerLinks, degree, degreeCap } = this.#options;
    const { zone } = place.member.info;
    // What crosses the border of a zone with supernodes is theirs to bring.
    const remoteLinks = this.#dealt(place.swarm.key).sites.has(zone) ? 0 : this.#options.remoteLinks;
    let near = 0;
    for (const other of place.neighbours) if (other.member.info.zone === zone) near++;
    const far = place.neighbours.length - near;
    let local = newcomer || stalled ? newcomerLinks : degree - near;
    let remote = newcomer || stalled ? remoteLinks : remoteLinks - far;
    // Old links make room: those of a stalled node are of no use.
    const room = degreeCap - Math.max(0, local) - Math.max(0, remote);
    while (stalled && place.neighbours.length > Math.max(0, room)) {
      unlink(place, place.neighbours[0]!);
      this.#links--;
    }
    const before = place.neighbours.length;
    // A stalled node has met these before: what it needs is others.
    for (const known of stalled ? [] : place.member.linked.keys()) {
      if (local <= 0 && remote <= 0) break;
      const other = known.places.get(place.swarm.key);
      if (other === undefined || !this.#linkable(place, other)) continue;
      if (known.info.zone === zone ? local-- > 0 : remote-- > 0) this.#link(place, other);
    }
    if (local > 0) {
      this.#sample(
        place,
        place.swarm.inZone(zone),
        local * (newcomer ? CANDIDATES_PER_LINK : FILL_CANDIDATES_PER_LINK),
      );
      this.#linkBest(place, local, stalled);
    }
    if (remote > 0 && place.swarm.zones.length > 1) {
      const zones = place.swarm.zones;
      for (let tries = remote * CANDIDATES_PER_LINK; tries > 0; tries--) {
        const other = zones[this.#rng.int(zones.length)]!;
        if (other !== zone) this.#sample(place, place.swarm.inZone(other), 1);
      }
      this.#linkBest(place, remote, stalled);
    }
    return place.neighbours.length - before;
  }

  #linkable(place: Place, other: Place): boolean {
    return (
      other !== place &&
      other.neighbours.length < this.#options.degreeCap &&
      place.neighbours.length < this.#options.degreeCap &&
      !place.neighbours.includes(other)
    );
  }

  #link(place: Place, other: Place): void {
    link(place, other);
    this.#links++;
  }

  /** Adds up to `count` different random nodes of the list to the candidates. */
  #sample(place: Place, list: readonly Place[], count: number): void {
    const all = list.length <= count;
    for (let i = 0; i < (all ? list.length : count); i++) {
      const other = list[all ? i : this.#rng.int(list.length)]!;
      if (this.#linkable(place, other) && !this.#candidates.includes(other)) this.#candidates.push(other);
    }
  }

  /** Links the node to the `count` candidates of lowest degree, and empties the list of candidates. */
  #linkBest(place: Place, count: number, stalled: boolean): void {
    const candidates = this.#candidates;
    const score = (other: Place): number =>
      other.neighbours.length + (stalled && other.have === 'none' ? EMPTY_HANDED : 0);
    for (let left = count; left > 0 && candidates.length > 0; left--) {
      let best = 0;
      for (let i = 1; i < candidates.length; i++) {
        if (score(candidates[i]!) < score(candidates[best]!)) best = i;
      }
      const [other] = candidates.splice(best, 1);
      if (this.#linkable(place, other!)) this.#link(place, other!);
    }
    candidates.length = 0;
  }
}

import type { PeerInfo } from '../core/node.ts';
import { type Dealt, dealAll, NOTHING_DEALT } from './sites.ts';

/** A process of the cluster. */
export interface Member {
  info: PeerInfo;
  /** Milliseconds. */
  seenAt: number;
  /** Its place in each of its swarms. */
  readonly places: Map<TrackedSwarm, Place>;
  /** Nodes it is linked to. */
  readonly linked: Map<Member, Tie>;
}

/** Two nodes that are linked; one connection serves all their swarms. */
export interface Tie {
  readonly a: Member;
  readonly b: Member;
  /** In which both are linked. */
  swarms: number;
}

/** A node in one swarm. */
export interface Place {
  readonly member: Member;
  readonly swarm: TrackedSwarm;
  have: 'none' | 'some' | 'all';
  /** Oldest link first. */
  readonly neighbours: Place[];
  /** Supernodes it was sent to and still needs. */
  seeds: readonly Member[];
  /** Index in the list of its zone. */
  at: number;
  /** The last choice of neighbours in which it was a candidate. */
  drawn: number;
}

/** The supernodes that there are, and how many of one site own a blob between them. */
export interface Among {
  readonly supernodes: readonly PeerInfo[];
  /** Another one: other supernodes. */
  readonly epoch: number;
  readonly most: number;
}

/** Most places have no seeds: one list for all of these. */
const NOBODY: readonly Member[] = [];

/** The nodes that share one blob, by zone, and how many of them each supernode looks after. */
export class TrackedSwarm {
  readonly key: string;
  /** Size of the blob. */
  readonly blobBytes: number;
  /** Zone -> the supernodes that its nodes use, each once, as of that epoch. */
  readonly owners = new Map<string, readonly Member[]>();
  /** Which supernodes own it, as of that epoch. */
  #dealt: Dealt<PeerInfo> = NOTHING_DEALT;
  #dealtEpoch = -1;
  readonly #zones = new Map<string, Place[]>();
  readonly #zoneNames: string[] = [];
  readonly #seedLinks = new Map<Member, number>();
  #size = 0;

  constructor(key: string, blobBytes: number) {
    this.key = key;
    this.blobBytes = blobBytes;
  }

  get size(): number {
    return this.#size;
  }

  /** Names of the zones that ever had a node here. */
  get zones(): readonly string[] {
    return this.#zoneNames;
  }

  /** Nodes of that zone, in no particular order. */
  inZone(zone: string): readonly Place[] {
    return this.#zones.get(zone) ?? [];
  }

  /** All nodes that share it. */
  *places(): Iterable<Place> {
    for (const list of this.#zones.values()) yield* list;
  }

  enter(member: Member): Place {
    let list = this.#zones.get(member.info.zone);
    if (list === undefined) {
      list = [];
      this.#zones.set(member.info.zone, list);
      this.#zoneNames.push(member.info.zone);
    }
    const place: Place = {
      member,
      swarm: this,
      have: 'none',
      neighbours: [],
      seeds: NOBODY,
      at: list.length,
      drawn: 0,
    };
    list.push(place);
    member.places.set(this, place);
    this.#size++;
    return place;
  }

  /** Removes the node with its links. @returns how many links it had */
  exit(place: Place): number {
    const links = place.neighbours.length;
    while (place.neighbours.length > 0) unlink(place, place.neighbours[place.neighbours.length - 1]!);
    this.releaseSeeds(place);
    const list = this.#zones.get(place.member.info.zone)!;
    const last = list.pop()!;
    if (last !== place) {
      list[place.at] = last;
      last.at = place.at;
    }
    place.member.places.delete(this);
    this.#size--;
    return links;
  }

  /** Which supernodes own it, as long as there are these; who lives keeps its turns. */
  dealtAmong(among: Among): Dealt<PeerInfo> {
    if (this.#dealtEpoch === among.epoch) return this.#dealt;
    const living = new Map(among.supernodes.map((info) => [info.id, info]));
    const alive = (turns: readonly PeerInfo[]) => turns.map(({ id }) => living.get(id));
    const before = {
      readers: alive(this.#dealt.readers),
      sites: new Map([...this.#dealt.sites].map(([zone, turns]) => [zone, alive(turns)] as const)),
    };
    this.#dealt = dealAll(this.key, this.blobBytes, among.supernodes, before, among.most);
    this.#dealtEpoch = among.epoch;
    this.owners.clear();
    return this.#dealt;
  }

  /** Nodes that the supernode looks after here. */
  seedLinks(seed: Member): number {
    return this.#seedLinks.get(seed) ?? 0;
  }

  linkSeed(place: Place, seed: Member): void {
    if (place.seeds.includes(seed)) return;
    place.seeds = [...place.seeds, seed];
    this.#seedLinks.set(seed, this.seedLinks(seed) + 1);
  }

  /** The node needs no supernode any more: others may have its place. */
  releaseSeeds(place: Place): void {
    for (const seed of place.seeds) this.#seedLinks.set(seed, this.seedLinks(seed) - 1);
    place.seeds = NOBODY;
  }
}

/** The node at the other end. */
export function otherOf(tie: Tie, member: Member): Member {
  return tie.a === member ? tie.b : tie.a;
}

/** @param tie between both nodes, if it is known that there is one */
export function link(a: Place, b: Place, tie = a.member.linked.get(b.member)): void {
  a.neighbours.push(b);
  b.neighbours.push(a);
  if (tie !== undefined) {
    tie.swarms++;
    return;
  }
  const first: Tie = { a: a.member, b: b.member, swarms: 1 };
  a.member.linked.set(b.member, first);
  b.member.linked.set(a.member, first);
}

export function unlink(a: Place, b: Place): void {
  a.neighbours.splice(a.neighbours.indexOf(b), 1);
  b.neighbours.splice(b.neighbours.indexOf(a), 1);
  const tie = a.member.linked.get(b.member)!;
  if (--tie.swarms > 0) return;
  a.member.linked.delete(b.member);
  b.member.linked.delete(a.member);
}

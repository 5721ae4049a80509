import type { Rng } from '../../../lib/runtime/rng.ts';

/** Joined ends that a newcomer is linked to: in the end a node has twice as many neighbours on average. */
export const NEWCOMER_LINKS = 5;
/** An end with so many neighbours takes no more of those who come, while others have room. */
const MOST_LINKS = 20;

/** One side of a connection. */
export class Link {
  readonly end: number;
  readonly peer: number;
  /** 1 between zones. */
  readonly distance: 0 | 1;
  /** The other side. */
  readonly back: Link;
  /** Flows that this side has asked the other one for. */
  readonly flows: number[] = [];
  /** This side asks the other one for nothing any more. */
  banned = false;

  constructor(end: number, peer: number, distance: 0 | 1, back?: Link) {
    this.end = end;
    this.peer = peer;
    this.distance = distance;
    this.back = back ?? new Link(peer, end, distance, this);
  }
}

/** A random graph in which ends have about ten neighbours; a newcomer is linked to ends that joined before it. */
export class Overlay {
  /** End -> its sides of its links. */
  readonly links: Link[][];
  readonly #joined: number[] = [];
  readonly #rng: Rng;
  readonly #isGone: (end: number) => boolean;
  readonly #isFar: (a: number, b: number) => boolean;

  constructor(
    ends: number,
    rng: Rng,
    isGone: (end: number) => boolean,
    isFar: (a: number, b: number) => boolean,
  ) {
    this.links = Array.from({ length: ends }, () => []);
    this.#rng = rng;
    this.#isGone = isGone;
    this.#isFar = isFar;
  }

  join(end: number): void {
    this.#joined.push(end);
  }

  /** Links that the end can still ask. */
  usable(end: number): number {
    return this.links[end]!.reduce((count, { banned }) => count + (banned ? 0 : 1), 0);
  }

  /** Links the end to so many random others, or to as many as there are. @returns its sides */
  connect(end: number, wanted: number): readonly Link[] {
    const made: Link[] = [];
    while (made.length < wanted) {
      const peer = this.#findPeer(end, MOST_LINKS) ?? this.#findPeer(end, Number.POSITIVE_INFINITY);
      if (peer === undefined) break;
      const link = new Link(end, peer, this.#isFar(end, peer) ? 1 : 0);
      this.links[end]!.push(link);
      this.links[peer]!.push(link.back);
      made.push(link);
    }
    return made;
  }

  /** Takes all links of the end out. @returns the sides of the others */
  disconnect(end: number): readonly Link[] {
    const others = this.links[end]!.map(({ back }) => back);
    for (const other of others) {
      const links = this.links[other.end]!;
      links.splice(links.indexOf(other), 1);
    }
    this.links[end] = [];
    return others;
  }

  #findPeer(end: number, mostLinks: number): number | undefined {
    const joined = this.#joined;
    const start = this.#rng.int(joined.length);
    for (let i = 0; i < joined.length; i++) {
      const peer = joined[(start + i) % joined.length]!;
      if (peer === end || this.#isGone(peer) || this.links[peer]!.length >= mostLinks) continue;
      if (!this.links[end]!.some((link) => link.peer === peer)) return peer;
    }
    return undefined;
  }
}

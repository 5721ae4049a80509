import type { Rng } from '../runtime/rng.ts';
import { link, otherOf, type Place, type Tie, unlink } from './tracked-swarm.ts';
import type { TrackerCoreOptions } from './tracker-core-options.ts';

/** Random candidates looked at for each link: enough to find one of low degree, few enough to stay cheap. */
const CANDIDATES_PER_LINK = 2;
/** More of them for who comes back: a newcomer that takes the least linked ones meets only those who came just before. */
const FILL_CANDIDATES_PER_LINK = 4;
/** More than any degree: candidates without a piece come last for a node that found nobody of use. */
const EMPTY_HANDED = 1000;

/** How a node comes to ask for neighbours. */
export interface Asking {
  /** It was not in the swarm until now. */
  readonly newcomer: boolean;
  /** Those that it has are of no use. */
  readonly stalled: boolean;
  /** Its zone has supernodes of its own, and no links to others. */
  readonly site: boolean;
}

/** Which nodes of a swarm are linked: a random graph that grows as they announce. A choice costs O(degree). */
export class Overlay {
  readonly #options: TrackerCoreOptions;
  readonly #rng: Rng;
  #links = 0;
  /** Candidates of the choice under way, their scores, and its number. */
  readonly #candidates: Place[] = [];
  readonly #scores: number[] = [];
  #draw = 1;

  constructor(options: TrackerCoreOptions, rng: Rng) {
    this.#options = options;
    this.#rng = rng;
  }

  /** Links of all swarms. */
  get links(): number {
    return this.#links;
  }

  /** The node leaves its swarm, and its links end. */
  exit(place: Place): void {
    this.#links -= place.swarm.exit(place);
  }

  /**
   * Links a newcomer to a few (later comers bring more), fills up a node that has been here for a while, and gives a
   * stalled one as many new ones as a newcomer. @returns how many links were made
   */
  linkMore(place: Place, { newcomer, stalled, site }: Asking): number {
    const { newcomerLinks, degree, degreeCap } = this.#options;
    const { zone } = place.member.info;
    const remoteLinks = site ? 0 : this.#options.remoteLinks;
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
    if (!stalled) {
      for (const tie of place.member.linked.values()) {
        if (local <= 0 && remote <= 0) break;
        const known = otherOf(tie, place.member);
        const other = known.places.get(place.swarm);
        if (other === undefined || !this.#linkable(place, other)) continue;
        if (known.info.zone === zone ? local-- > 0 : remote-- > 0) this.#link(place, other, tie);
      }
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

  #link(place: Place, other: Place, tie?: Tie): void {
    link(place, other, tie);
    this.#links++;
  }

  /** Adds up to `count` different random nodes of the list to the candidates. */
  #sample(place: Place, list: readonly Place[], count: number): void {
    const all = list.length <= count;
    for (let i = 0; i < (all ? list.length : count); i++) {
      const other = list[all ? i : this.#rng.int(list.length)]!;
      if (other.drawn === this.#draw || !this.#linkable(place, other)) continue;
      other.drawn = this.#draw;
      this.#candidates.push(other);
    }
  }

  /** Links the node to the `count` candidates of lowest degree, and empties the list of candidates. */
  #linkBest(place: Place, count: number, stalled: boolean): void {
    const candidates = this.#candidates;
    const scores = this.#scores;
    for (const { have, neighbours } of candidates) {
      scores.push(neighbours.length + (stalled && have === 'none' ? EMPTY_HANDED : 0));
    }
    for (let left = Math.min(count, candidates.length); left > 0; left--) {
      let best = 0;
      for (let i = 1; i < scores.length; i++) if (scores[i]! < scores[best]!) best = i;
      scores[best] = Number.POSITIVE_INFINITY;
      const other = candidates[best]!;
      if (this.#linkable(place, other)) this.#link(place, other);
    }
    candidates.length = 0;
    scores.length = 0;
    this.#draw++;
  }
}

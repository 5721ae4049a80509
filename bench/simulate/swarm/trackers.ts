import { TrackerCore } from '../../../lib/swarm/tracker-core.ts';
import { zoneOf } from '../scenario.ts';
import type { World } from './world.ts';

/** The tracker, and while a site is cut off from the rest the one that it has for itself. */
export class Trackers {
  readonly #world: World;
  readonly #all: TrackerCore;
  /** Of the site that is cut off. */
  #own: { readonly zone: number; readonly core: TrackerCore } | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#all = this.#empty();
  }

  /** The one that the end speaks to. */
  of(end: number): TrackerCore {
    const own = this.#own;
    return own !== undefined && zoneOf(this.#world.scenario, end) === own.zone ? own.core : this.#all;
  }

  join(end: number): void {
    const { scenario, wheel } = this.#world;
    const role = end < scenario.nodes ? 'node' : 'supernode';
    const zone = String(zoneOf(scenario, end));
    this.of(end).join({ id: String(end), role, host: '', port: 0, zone }, wheel.now);
  }

  /** The site and the rest have not heard of each other for long: each goes on with the members it has. */
  part(zone: number, sizes: ReadonlyMap<string, number>): void {
    const own = { zone, core: this.#empty() };
    this.#own = own;
    this.#move(this.#all, own.core, sizes);
  }

  /** They hear of each other again. */
  unite(sizes: ReadonlyMap<string, number>): void {
    const own = this.#own;
    this.#own = undefined;
    if (own !== undefined) this.#move(own.core, this.#all, sizes);
  }

  /** The members of the site; `to` is the one that they speak to by now, and they tell it what they have. */
  #move(from: TrackerCore, to: TrackerCore, sizes: ReadonlyMap<string, number>): void {
    const { scenario, wheel } = this.#world;
    const { nodes, seeds } = scenario;
    for (let end = 0; end < nodes + seeds; end++) {
      const id = String(end);
      if (from.member(id) === undefined || this.of(end) !== to) continue;
      if (this.#world.isDead(end)) continue;
      this.join(end);
      for (const [key, size] of sizes) {
        const have = from.haveOf(id, key);
        if (have === undefined) continue;
        // Who has everything is given no neighbours: those of the site have theirs.
        to.announce(id, key, { have: 'all', size }, wheel.now);
        to.note(id, key, { have, size });
      }
      from.leave(id, wheel.now);
    }
  }

  #empty(): TrackerCore {
    const { profile, seeds } = this.#world.scenario;
    return new TrackerCore({ ownersPerBlob: Math.min(profile.owners, seeds) }, this.#world.rng);
  }
}

/** By which trackers know the blob. */
export function keyOf(blob: number): string {
  return `layer ${blob}`;
}

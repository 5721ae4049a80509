import type { LeaseAnswer, LeaseWish } from '../../../lib/core/lease.ts';
import type { PeerInfo } from '../../../lib/core/node.ts';
import {
  ASK_AGAIN_MS,
  ENOUGH_NEIGHBOURS,
  ENOUGH_TRUSTED_NEIGHBOURS,
  TOO_FEW_NEIGHBOURS,
} from '../../../lib/swarm/joining.ts';
import { zoneOf } from '../scenario.ts';
import { Happens } from './events.ts';
import { ALL_BLOBS, type Message, Says, TrackerLine } from './tracker-line.ts';
import { keyOf, Trackers } from './trackers.ts';
import type { World } from './world.ts';

/** Round trips of a caller before its layers are asked for: the 401 probe, a token, HEAD and GET of the manifest. */
export const REQUESTS_OF_CALLER = 4;
/** Ways between two ends until both have heard the other's hello: connect, accept, hello. */
const WAYS_TO_HELLO = 3;
/** There is one, which all zones have. */
const REGISTRY = 'registry';

/** How links come and go. */
export interface LinkEvents {
  up(a: number, b: number): void;
  /** Both are linked already, and now share that blob too. */
  shares(a: number, b: number): void;
  down(a: number, b: number): void;
}

/** Callers start, nodes announce, the tracker answers, neighbours say hello. */
export class Joining {
  readonly #world: World;
  readonly #trackers: Trackers;
  readonly #events: LinkEvents;
  readonly #answers: (readonly PeerInfo[])[] = [];
  /** Seed and blob -> what the seed was told. */
  readonly #told = new Map<number, { readonly epoch: number; readonly turns: readonly number[] }>();
  /** When the registry has answered all requests that came so far. */
  #registryFreeAt = 0;
  readonly #line: TrackerLine;
  /** Node -> questions that the tracker has not answered, and when it last answered one, milliseconds. */
  readonly #asked: Uint16Array;
  readonly #answeredAt: Float64Array;
  /** Node -> 1 once it has had its first answer. */
  readonly #askedAgain: Uint8Array;

  constructor(world: World, events: LinkEvents) {
    this.#world = world;
    this.#events = events;
    const { nodes, seeds } = world.scenario;
    this.#line = new TrackerLine(world, (message) => this.#answer(message));
    this.#asked = new Uint16Array(nodes);
    this.#answeredAt = new Float64Array(nodes).fill(Number.NEGATIVE_INFINITY);
    this.#askedAgain = new Uint8Array(nodes);
    this.#trackers = new Trackers(world);
    for (let seed = nodes; seed < nodes + seeds; seed++) this.#trackers.join(seed);
  }

  /** Sets up the start of every caller. */
  begin(): void {
    const { population, scenario, wheel } = this.#world;
    for (let node = 0; node < scenario.nodes; node++) {
      wheel.add(population.asksAt[node]!, Happens.asked, node, 0, 0, 0);
    }
  }

  /** Seeds that own the blob now, as that one knows it. */
  owners(seed: number, blob: number): number[] {
    return [...new Set(this.turns(seed, blob))];
  }

  /** Turn -> the seed that reads the blob in it. */
  turns(seed: number, blob: number): readonly number[] {
    const tracker = this.#trackers.of(seed);
    return tracker.turns(keyOf(blob), this.#sizeOf(blob)).map((info) => Number(info.id));
  }

  /** What the tracker tells a seed of the blob; see `turnsFor` in lib/swarm/sites.ts. */
  toldSeed(seed: number, blob: number): readonly number[] {
    const tracker = this.#trackers.of(seed);
    const { epoch } = tracker;
    const { blobs } = this.#world.scenario;
    const at = seed * blobs.length + blob;
    const known = this.#told.get(at);
    if (known?.epoch === epoch) return known.turns;
    const state = { have: 'none', size: this.#sizeOf(blob) } as const;
    const told = tracker.announce(String(seed), keyOf(blob), state, this.#world.wheel.now);
    const turns = told.map(({ id }) => Number(id));
    this.#told.set(at, { epoch, turns });
    return turns;
  }

  /** What the tracker is told. Where pieces are read in turn, no blob is too small for that. */
  #sizeOf(blob: number): number {
    const { blobs, profile } = this.#world.scenario;
    return profile.stripes ? blobs[blob]!.bytes : Number.POSITIVE_INFINITY;
  }

  asked(node: number): void {
    if (this.#world.isDead(node)) return;
    const { scenario, tally, wheel } = this.#world;
    tally.askedAt[node] = wheel.now;
    tally.originRequests += REQUESTS_OF_CALLER;
    let readyAt = wheel.now;
    if (scenario.profile.joinTakesTime) {
      this.#registryFreeAt =
        Math.max(wheel.now, this.#registryFreeAt) +
        (REQUESTS_OF_CALLER * 1000) / scenario.registryRequestRate;
      readyAt = this.#registryFreeAt + REQUESTS_OF_CALLER * 2 * scenario.latencyMs;
    }
    this.#world.startsAt[node] = readyAt;
    if (readyAt > wheel.now) wheel.add(readyAt, Happens.ready, node, 0, 0, 0);
    else this.ready(node);
  }

  /** The node knows its layers, and asks the tracker who has them. */
  ready(node: number): void {
    this.#announce(node, ALL_BLOBS, Says.joins);
  }

  /** The node has the whole blob: others may have its supernode's attention. */
  complete(node: number, blob: number): void {
    this.#announce(node, blob, Says.complete);
  }

  /** Those who came early have many neighbours by now, and late ones few: who has few in its zone asks again. */
  askAgain(node: number): void {
    const { tally } = this.#world;
    if (this.#world.isDead(node) || tally.missing[node] === 0) return;
    if (this.#neighbours(node, true) < ENOUGH_NEIGHBOURS) this.#announce(node, ALL_BLOBS, Says.again);
  }

  /** A link is broken, or nothing is taken over it any more. */
  lost(node: number, other: number): void {
    const enough = this.#world.distrusts(node, other) ? ENOUGH_TRUSTED_NEIGHBOURS : TOO_FEW_NEIGHBOURS;
    if (this.#world.isSeed(other) || this.#neighbours(node) < enough) this.stalled(node);
  }

  /** Nodes that it is linked to and takes pieces from. @param ofZone only those of its own zone */
  #neighbours(node: number, ofZone = false): number {
    const { links, scenario } = this.#world;
    const zone = zoneOf(scenario, node);
    let neighbours = 0;
    for (let link = 0; link < links.count(node); link++) {
      const other = links.other(node, link);
      if (other < 0 || other >= scenario.nodes || this.#world.distrusts(node, other)) continue;
      if (!ofZone || zoneOf(scenario, other) === zone) neighbours++;
    }
    return neighbours;
  }

  /** The node's neighbours are of no use: it asks for others. */
  stalled(node: number): void {
    if (this.#world.tally.missing[node]! > 0) this.#announce(node, ALL_BLOBS, Says.stalls);
  }

  /** Whether the tracker has been asked, and can answer but has not yet. */
  owed(node: number): boolean {
    return this.#asked[node]! > 0 && !this.#line.down;
  }

  /** When it last answered; -Infinity = never. */
  answeredAt(node: number): number {
    return this.#answeredAt[node]!;
  }

  #announce(node: number, blob: number, says: number): void {
    if (says !== Says.complete) this.#asked[node]!++;
    this.#line.send(node, blob, says);
  }

  /** An announcement is at the tracker. */
  announced(node: number, blob: number, says: number): void {
    this.#line.arrived(node, blob, says);
  }

  /** The tracker's time for it is over. */
  answered(node: number, blob: number, says: number): void {
    this.#line.answered(node, blob, says);
  }

  #answer({ node, blob, says }: Message): void {
    const { blobs, profile, latencyMs } = this.#world.scenario;
    const { wheel } = this.#world;
    if (this.#world.isDead(node)) return;
    const tracker = this.#trackers.of(node);
    if (says === Says.complete) {
      tracker.announce(String(node), keyOf(blob), { have: 'all', size: this.#sizeOf(blob) }, wheel.now);
      return;
    }
    this.#trackers.join(node);
    if (says === Says.enters || says === Says.first) {
      tracker.note(String(node), keyOf(blob), { have: 'none', size: this.#sizeOf(blob) });
    }
    if (says === Says.enters) return;
    // One message of the node, two answers.
    if (says === Says.rest) this.#asked[node]!++;
    const peers = new Map<string, PeerInfo>();
    const core = this.#world.nodes[node]!;
    blobs.forEach(({ pieces }, each) => {
      if (blob !== ALL_BLOBS && each !== blob) return;
      if (says === Says.rest && each === 0) return;
      const held = core.held(each);
      if (held === pieces) return;
      const state = {
        have: held === 0 ? 'none' : 'some',
        size: this.#sizeOf(each),
        stalled: says === Says.stalls,
      } as const;
      for (const peer of tracker.announce(String(node), keyOf(each), state, wheel.now)) {
        peers.set(peer.id, peer);
      }
    });
    const answer = this.#answers.push([...peers.values()]) - 1;
    wheel.add(wheel.now + (profile.joinTakesTime ? latencyMs : 0), Happens.neighbours, node, answer, 0, 0);
  }

  /** The node dials whom the tracker named. */
  told(node: number, answer: number): void {
    const { wheel } = this.#world;
    this.#asked[node]!--;
    this.#answeredAt[node] = wheel.now;
    if (this.#askedAgain[node] === 0) {
      this.#askedAgain[node] = 1;
      wheel.add(wheel.now + ASK_AGAIN_MS, Happens.askAgain, node, 0, 0, 0);
    }
    this.introduce(node, this.#answers[answer]!);
    this.#answers[answer] = [];
  }

  /** The node dials those, or tells them what it shares. */
  introduce(node: number, peers: readonly PeerInfo[]): void {
    const { scenario, links, wheel } = this.#world;
    for (const peer of peers) {
      const other = Number(peer.id);
      if (links.find(node, other) >= 0) this.#events.shares(node, other);
      else {
        const ways = scenario.profile.joinTakesTime ? WAYS_TO_HELLO * this.#world.latencyMs(node, other) : 0;
        wheel.add(wheel.now + ways, Happens.linkUp, node, other, 0, 0);
      }
    }
  }

  /** The lease that the node's tracker gives it, at once; undefined = it does not answer. */
  lease(node: number, wish: Pick<LeaseWish, 'digest' | 'stripes' | 'aside'>): LeaseAnswer | undefined {
    if (this.#line.down) return undefined;
    const { now } = this.#world.wheel;
    return this.#trackers.of(node).lease(String(node), { ...wish, upstream: REGISTRY }, now);
  }

  renewLease(node: number, token: number): LeaseAnswer {
    return this.#trackers.of(node).renewLease(String(node), token, this.#world.wheel.now);
  }

  releaseLease(node: number, token: number, read: boolean): void {
    this.#trackers.of(node).releaseLease(String(node), token, read, this.#world.wheel.now);
  }

  linkUp(a: number, b: number): void {
    if (this.#world.isDead(a) || this.#world.isDead(b) || this.#world.isCut(a, b)) return;
    if (this.#world.links.find(a, b) >= 0) this.#events.shares(a, b);
    else this.#events.up(a, b);
  }

  linkDown(a: number, b: number): void {
    if (this.#world.links.find(a, b) >= 0) this.#events.down(a, b);
  }

  /** The tracker notices that a seed is gone. */
  seedLost(seed: number): void {
    this.#trackers.of(seed).leave(String(seed), this.#world.wheel.now);
  }

  /** The site of that zone and the rest have each their own trackers, until {@link unite}. */
  part(zone: number): void {
    this.#trackers.part(zone, this.#sizes());
    this.#told.clear();
  }

  unite(): void {
    this.#trackers.unite(this.#sizes());
    this.#told.clear();
  }

  #sizes(): ReadonlyMap<string, number> {
    return new Map(this.#world.scenario.blobs.map((_, blob) => [keyOf(blob), this.#sizeOf(blob)]));
  }
}

import { createRng, type Rng } from '../../../lib/runtime/rng.ts';
import { ActionBuffer } from '../../../lib/swarm/actions.ts';
import { Memory } from '../../../lib/swarm/memory.ts';
import { PeerCore } from '../../../lib/swarm/peer-core.ts';
import { SeedCore } from '../../../lib/swarm/seed-core.ts';
import type { FluidLinks, Physics } from '../physics/fluid-links.ts';
import { TimingWheel } from '../physics/wheel.ts';
import { Population } from '../population.ts';
import { bytesOfPiece, linkRates, type Scenario, zoneLinks, zoneOf } from '../scenario.ts';
import { blobOf, Happens, pieceOf } from './events.ts';
import { Inbox } from './inbox.ts';
import { Links } from './links.ts';
import { Tally } from './tally.ts';

/** A piece that came to a node. */
export interface Came {
  readonly node: number;
  readonly blob: number;
  readonly piece: number;
  /** The end that sent it. */
  readonly from: number;
  readonly atMs: number;
}

/** Numbers in one piece of the memory that all cores share. */
const SLAB = 1 << 18;

/**
 * What all parts of the simulation share. Ends are numbered: nodes, then seeds, then the registry. Every blob has the
 * same number at every end: its place in the image.
 */
export class World {
  readonly scenario: Scenario;
  readonly rng: Rng;
  readonly wheel = new TimingWheel();
  readonly flows: FluidLinks;
  readonly links: Links;
  readonly population: Population;
  readonly tally: Tally;
  readonly inbox: Inbox;
  /** All cores write here; it is read and cleared after each event. */
  readonly actions = new ActionBuffer();
  readonly nodes: PeerCore[] = [];
  readonly seeds: SeedCore[] = [];
  /** The zone whose border is down; -1 = none. */
  cutZone = -1;
  /** The end that stands for the registry. */
  readonly registry: number;
  /** Node -> when it knows its layers and begins to look for them, milliseconds; Infinity before. */
  readonly startsAt: Float64Array;
  /** Node -> when a seed last gave it a piece; -Infinity = never. */
  readonly seedGaveAt: Float64Array;
  readonly #dead: Uint8Array;
  readonly #onCame: ((came: Came) => void) | undefined;
  /** Nodes, each with one from which it takes nothing any more. */
  readonly #distrusted = new Set<number>();

  /** @param onCame is told of each piece, once it is stored */
  constructor(scenario: Scenario, physics: Physics, onCame?: (came: Came) => void) {
    const { blobs, nodes, seeds, rngSeed } = scenario;
    this.scenario = scenario;
    this.#onCame = onCame;
    this.registry = nodes + seeds;
    this.rng = createRng(rngSeed);
    this.population = new Population(scenario, this.rng);
    const rates = linkRates(scenario, (node) => this.population.isSlow(node));
    this.flows = physics(rates, this.wheel, Happens.flowEnds, zoneLinks(scenario));
    this.links = new Links(nodes + seeds);
    this.tally = new Tally(scenario);
    this.inbox = new Inbox(nodes);
    this.startsAt = new Float64Array(nodes).fill(Number.POSITIVE_INFINITY);
    this.seedGaveAt = new Float64Array(nodes).fill(Number.NEGATIVE_INFINITY);
    this.#dead = new Uint8Array(nodes + seeds);
    const memory = new Memory(SLAB);
    for (let node = 0; node < nodes; node++) {
      const core = new PeerCore({}, createRng(this.rng.int(0x100000000)), this.actions, memory);
      for (const blob of blobs) core.addBlob(blob.pieces, undefined, 0, 0);
      this.nodes.push(core);
    }
    for (let seed = 0; seed < seeds; seed++) {
      const core = new SeedCore({}, createRng(this.rng.int(0x100000000)), this.actions);
      for (const blob of blobs) core.addBlob(blob.pieces);
      this.seeds.push(core);
    }
  }

  isSeed(end: number): boolean {
    return end >= this.scenario.nodes;
  }

  /** The core of that end, which has read its inbox. */
  core(end: number): PeerCore | SeedCore {
    const { nodes } = this.scenario;
    return end < nodes ? this.node(end) : this.seeds[end - nodes]!;
  }

  node(end: number): PeerCore {
    const core = this.nodes[end]!;
    const unread = this.inbox.take(end);
    for (let index = 0; index < unread; index++) {
      const packed = this.inbox.piece(end, index);
      core.peerHas(this.inbox.link(end, index), blobOf(packed), pieceOf(packed), this.wheel.now);
    }
    return core;
  }

  /** A message from that neighbour tells of its free slots; `hungry` as PeerCore takes it. */
  hearSlots(end: number, link: number, slots: number, hungry?: boolean): void {
    if (this.links.other(end, link) < 0) return;
    this.links.heard(end, link, slots >> 8);
    this.core(end).peerSlots(link, slots >> 8, slots & 0xff, hungry, this.wheel.now);
  }

  isDead(end: number): boolean {
    return this.#dead[end] === 1;
  }

  die(end: number): void {
    this.#dead[end] = 1;
  }

  /** The node has stored what `from` sent it. */
  came(node: number, blob: number, piece: number, from: number): void {
    if (from >= this.scenario.nodes && from < this.registry) this.seedGaveAt[node] = this.wheel.now;
    this.#onCame?.({ node, blob, piece, from, atMs: this.wheel.now });
  }

  /** The node was sent wrong bytes by the other. */
  distrust(node: number, other: number): void {
    this.#distrusted.add(node * this.registry + other);
  }

  distrusts(node: number, other: number): boolean {
    return this.#distrusted.has(node * this.registry + other);
  }

  /** Whether nothing passes between them, because one is in a site that is cut off. */
  isCut(a: number, b: number): boolean {
    if (this.cutZone < 0) return false;
    return (zoneOf(this.scenario, a) === this.cutZone) !== (zoneOf(this.scenario, b) === this.cutZone);
  }

  /** One way between two ends, milliseconds; the registry is near everybody. */
  latencyMs(a: number, b: number): number {
    const { latencyMs, zones, zoneLatencyMs } = this.scenario;
    if (zones === 1 || a === this.registry || b === this.registry) return latencyMs;
    return zoneOf(this.scenario, a) === zoneOf(this.scenario, b) ? latencyMs : zoneLatencyMs;
  }

  /** The same for what is only a hint: in theory it takes no time. */
  hintMs(a: number, b: number): number {
    return this.scenario.profile.hintsTakeTime ? this.latencyMs(a, b) : 0;
  }

  bytesOf(blob: number, piece: number): number {
    return bytesOfPiece(this.scenario.blobs[blob]!, piece);
  }
}

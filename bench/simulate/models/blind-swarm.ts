import { DamselflyError } from '../../../lib/core/errors.ts';
import { createRng, type Rng } from '../../../lib/runtime/rng.ts';
import type { OnProgress, Outcome, Strategy } from '../outcome.ts';
import { equalShares } from '../physics/flows.ts';
import type { FluidLinks, Physics } from '../physics/fluid-links.ts';
import { TimingWheel } from '../physics/wheel.ts';
import { Population } from '../population.ts';
import { bytesOfPiece, linkRates, type Scenario, zoneLinks } from '../scenario.ts';
import { NEWCOMER_LINKS, Overlay } from './overlay.ts';
import { PieceBook } from './piece-book.ts';
import { RegistryLine } from './registry-line.ts';
import { Requests } from './requests.ts';
import { StripedRead } from './striped-read.ts';
import { Tally } from './tally.ts';
import { crossesZones, trackerHears } from './ways.ts';

export const BLIND_SWARM = 'blind swarm';

/** What happens; the fields of an event are given behind it. */
const Happens = {
  /** flow, version: the last byte leaves its sender. */
  flowEnds: 0,
  /** flow, generation: the request is at the sender. */
  asked: 1,
  /** flow, generation: the last byte is there. */
  arrived: 2,
  /** node, piece, distance: its neighbours at that distance hear of it. */
  have: 3,
  /** layer, distance: the seeds' neighbours at that distance hear that they have all of it. */
  seeded: 4,
  /** node: the tracker is asked. */
  joins: 5,
  /** node: it knows its first neighbours. */
  linked: 6,
  /** node: looks for more neighbours. */
  repairs: 7,
  crash: 8,
  seedCrash: 9,
  /** end: its neighbours notice that it is dead. */
  lost: 10,
  striped: 11,
  reads: 12,
  landed: 13,
} as const;

const NOTICED_MS = 1000;

class BlindSwarm {
  readonly #scenario: Scenario;
  readonly #rng: Rng;
  readonly #population: Population;
  readonly #wheel = new TimingWheel();
  readonly #flows: FluidLinks;
  readonly #line: RegistryLine;
  readonly #origin: StripedRead;
  readonly #book: PieceBook;
  readonly #overlay: Overlay;
  readonly #tally: Tally;
  /** Pieces of all layers in one row: layer -> its first one; piece -> its layer and its bytes. */
  readonly #firstOf: number[] = [];
  readonly #layerOf: number[] = [];
  readonly #bytesOf: number[] = [];
  readonly #requests: Requests;
  /** Node -> pieces that it lacks, of all layers and of the first one. */
  readonly #lacks: Int32Array;
  readonly #lacksOfFirst: Int32Array;
  /** End -> 1 when it is dead, 2 when everybody knows. */
  readonly #dead: Uint8Array;
  #unfinished: number;

  constructor(scenario: Scenario, physics: Physics, onProgress: OnProgress) {
    const { nodes, seeds, blobs } = scenario;
    this.#scenario = scenario;
    this.#rng = createRng(scenario.rngSeed);
    this.#population = new Population(scenario, this.#rng);
    for (const [layer, blob] of blobs.entries()) {
      this.#firstOf.push(this.#layerOf.length);
      for (let piece = 0; piece < blob.pieces; piece++) {
        this.#layerOf.push(layer);
        this.#bytesOf.push(bytesOfPiece(blob, piece));
      }
    }
    const ends = nodes + seeds;
    const rates = linkRates(scenario, (node) => this.#population.isSlow(node));
    this.#tally = new Tally(scenario, this.#population, onProgress);
    this.#line = new RegistryLine(scenario.registryRequestRate);
    this.#flows = physics(rates, this.#wheel, Happens.flowEnds, zoneLinks(scenario));
    this.#origin = new StripedRead(scenario, rates, this.#wheel, Happens, this.#line, this.#tally);
    this.#book = new PieceBook(nodes, ends, this.#layerOf.length);
    this.#requests = new Requests({
      scenario,
      wheel: this.#wheel,
      flows: this.#flows,
      book: this.#book,
      tally: this.#tally,
      rng: this.#rng,
      bytesOf: this.#bytesOf,
      isDead: (end) => this.#dead[end] !== 0,
      kinds: Happens,
    });
    this.#overlay = new Overlay(
      ends,
      this.#rng,
      (end) => this.#dead[end] === 2,
      (a, b) => crossesZones(scenario, a, b),
    );
    this.#lacks = new Int32Array(nodes).fill(this.#layerOf.length);
    this.#lacksOfFirst = new Int32Array(nodes).fill(blobs[0]?.pieces ?? 0);
    this.#dead = new Uint8Array(ends);
    this.#unfinished = nodes;
    for (let seed = nodes; seed < ends; seed++) this.#overlay.join(seed);
  }

  /** @throws INTERNAL when nothing happens any more although nodes are waiting */
  run(): Outcome {
    const { crash, seedCrash } = this.#scenario;
    this.#population.asksAt.forEach((at, node) => this.#wheel.add(at, Happens.joins, node, 0, 0, 0));
    if (crash !== undefined) this.#wheel.add(crash.atMs, Happens.crash, 0, 0, 0, 0);
    if (seedCrash !== undefined) this.#wheel.add(seedCrash.atMs, Happens.seedCrash, 0, 0, 0, 0);
    this.#origin.begin();
    while (this.#unfinished > 0) {
      if (!this.#wheel.next()) {
        throw new DamselflyError('INTERNAL', 'the simulated swarm came to a halt', {
          unfinished: this.#unfinished,
        });
      }
      this.#happen();
    }
    return this.#tally.outcome(this.#line.answered);
  }

  #happen(): void {
    const { kind, a, b, c } = this.#wheel;
    switch (kind) {
      case Happens.flowEnds:
        if (this.#flows.ended(a, b)) this.#requests.sent(a);
        break;
      case Happens.asked:
        this.#requests.admit(a, b);
        break;
      case Happens.arrived:
        if (this.#requests.isCurrent(a, b)) this.#arrived(a);
        break;
      case Happens.have:
        if (this.#dead[a] === 0) this.#tell(a, b, 1, c === 1 ? 1 : 0);
        break;
      case Happens.seeded:
        this.#seeded(a, b === 1 ? 1 : 0);
        break;
      case Happens.joins:
        this.#joins(a);
        break;
      case Happens.linked:
        if (this.#dead[a] === 0) {
          this.#connect(a, NEWCOMER_LINKS);
          this.#overlay.join(a);
        }
        break;
      case Happens.repairs:
        this.#repair(a);
        break;
      case Happens.crash:
        for (let node = 0; node < this.#scenario.nodes; node++) {
          if (this.#population.isDoomed(node)) this.#die(node);
        }
        break;
      case Happens.seedCrash:
        this.#crashSeeds();
        break;
      case Happens.lost:
        this.#lost(a);
        break;
      case Happens.striped:
        this.#origin.striped(a, b);
        break;
      case Happens.reads:
        this.#origin.reads(a, b);
        break;
      default:
        this.#landed(this.#origin.landed(a, b));
    }
  }

  #isNode(end: number): boolean {
    return end < this.#scenario.nodes;
  }

  /** The tracker's answer and the greeting of the neighbours take a round trip each. */
  #joins(node: number): void {
    const { profile, latencyMs } = this.#scenario;
    const heard = trackerHears(this.#scenario, this.#wheel.now);
    this.#wheel.add(heard + (profile.joinTakesTime ? 4 * latencyMs : 0), Happens.linked, node, 0, 0, 0);
  }

  #connect(node: number, links: number): void {
    for (const link of this.#overlay.connect(node, links)) {
      this.#book.meet(node, link.peer, link.distance, 1);
      if (this.#isNode(link.peer)) {
        this.#book.meet(link.peer, node, link.distance, 1);
        this.#requests.fillPipeline(link.back);
      }
    }
    this.#requests.fill(node, this.#overlay.links[node]!);
  }

  #repair(node: number): void {
    const { now } = this.#wheel;
    const missing = NEWCOMER_LINKS - this.#overlay.usable(node);
    if (this.#dead[node] !== 0 || this.#lacks[node] === 0 || missing <= 0) return;
    const heard = trackerHears(this.#scenario, now);
    if (heard > now) this.#wheel.add(heard, Happens.repairs, node, 0, 0, 0);
    else this.#connect(node, missing);
  }

  /** Seeds hold a whole layer now. */
  #landed(layer: number): void {
    if (layer < 0) return;
    const { latencyMs, zoneLatencyMs, zones } = this.#scenario;
    this.#wheel.add(this.#wheel.now + latencyMs, Happens.seeded, layer, 0, 0, 0);
    if (zones > 1) this.#wheel.add(this.#wheel.now + zoneLatencyMs, Happens.seeded, layer, 1, 0, 0);
  }

  #seeded(layer: number, distance: 0 | 1): void {
    const { nodes, seeds, blobs } = this.#scenario;
    for (let seed = nodes; seed < nodes + seeds; seed++) {
      if (this.#dead[seed] === 0) this.#tell(seed, this.#firstOf[layer]!, blobs[layer]!.pieces, distance);
    }
  }

  /** Neighbours at that distance hear of pieces of the end. */
  #tell(end: number, first: number, pieces: number, distance: 0 | 1): void {
    for (let piece = first; piece < first + pieces; piece++) this.#book.tell(end, piece, distance);
    for (const { peer, back } of this.#overlay.links[end]!) {
      if (back.distance !== distance || !this.#isNode(peer) || this.#lacks[peer] === 0) continue;
      for (let piece = first; piece < first + pieces; piece++) this.#book.hear(peer, piece);
      if (pieces > 1 || !this.#book.isTaken(peer, first)) this.#requests.fillPipeline(back);
    }
  }

  #arrived(flow: number): void {
    const { now } = this.#wheel;
    const { link, piece } = this.#requests.close(flow);
    const node = link.end;
    if (this.#population.isLiar(link.peer)) {
      this.#tally.piecesRejected++;
      this.#tally.bans++;
      link.banned = true;
      this.#book.giveBack(node, piece);
      this.#requests.drop(link);
      this.#repair(node);
      this.#requests.fill(node, this.#overlay.links[node]!);
      return;
    }
    this.#tally.arrived(1, now);
    if (this.#layerOf[piece] === 0) {
      this.#lacksOfFirst[node]!--;
      if (this.#lacksOfFirst[node] === 0) this.#tally.firstByteMs[node] = now;
    }
    this.#lacks[node]!--;
    if (this.#lacks[node] === 0) {
      this.#tally.doneMs[node] = now;
      this.#unfinished--;
    }
    const { latencyMs, zoneLatencyMs, zones } = this.#scenario;
    this.#wheel.add(now + latencyMs, Happens.have, node, piece, 0, 0);
    if (zones > 1) this.#wheel.add(now + zoneLatencyMs, Happens.have, node, piece, 1, 0);
    this.#requests.fillPipeline(link);
    if (link.flows.length === 0) this.#requests.fill(node, this.#overlay.links[node]!);
  }

  #crashSeeds(): void {
    const { nodes, seeds, seedCrash } = this.#scenario;
    const dying = Math.min(seeds, seedCrash?.count ?? 0);
    for (let seed = 0; seed < dying; seed++) {
      this.#die(nodes + seed);
      this.#origin.died(seed);
    }
  }

  /** What it was sending and getting stops at once; the others do not know why. */
  #die(end: number): void {
    this.#dead[end] = 1;
    if (this.#isNode(end) && this.#lacks[end]! > 0) this.#unfinished--;
    for (const link of this.#overlay.links[end]!) {
      for (const flow of link.back.flows) this.#requests.halt(flow);
      this.#requests.drop(link);
    }
    this.#wheel.add(this.#wheel.now + NOTICED_MS, Happens.lost, end, 0, 0, 0);
  }

  #lost(end: number): void {
    this.#dead[end] = 2;
    for (const link of this.#overlay.disconnect(end)) {
      if (!this.#isNode(link.end)) continue;
      this.#requests.drop(link);
      this.#book.meet(link.end, end, link.distance, -1);
      this.#repair(link.end);
      this.#requests.fill(link.end, this.#overlay.links[link.end]!);
    }
  }
}

/** The model with another rule for links: only a check of the rule. */
export function blindSwarmOver(physics: Physics): Strategy {
  return (scenario, onProgress) => new BlindSwarm(scenario, physics, onProgress).run();
}

/**
 * A kind of scheme, not a product: image distribution derived from BitTorrent. In a random graph of about ten neighbours
 * a node asks at most 10 of them, without regard to their load, for 3 of the rarest pieces each; whoever asks is served
 * at once, and all share the sender's link. Seeds are neighbours like others, but store and forward: they serve a layer
 * when they have all of it, and the caller of a node gets nothing of a layer before the node has all of it. Layers are
 * one row of pieces. News of pieces leave at once, and what the machines cost is not charged. The registry gets a probe,
 * a request for a token and a HEAD and a GET of the manifest in all, and from each seed a GET for each layer: nodes ask
 * it for nothing.
 * @throws INTERNAL when the swarm comes to a halt: no seed is left, and a piece is missing
 */
export const blindSwarm: Strategy = blindSwarmOver(equalShares);

import { DamselflyError } from '../../../lib/core/errors.ts';
import { createRng, type Rng } from '../../../lib/runtime/rng.ts';
import type { OnProgress, Outcome } from '../outcome.ts';
import { TimingWheel } from '../physics/wheel.ts';
import { Population } from '../population.ts';
import { linkRates, type Scenario } from '../scenario.ts';
import { FanOut } from './fan-out.ts';
import { HolderDirectory } from './holder-directory.ts';
import { RegistryLine } from './registry-line.ts';
import { Tally } from './tally.ts';
import { latencyBetween, registryOf, trackerHears } from './ways.ts';

/** What happens; the fields of an event are given behind it. */
const Happens = {
  /** end, version: flows from it have ended. */
  sent: 0,
  /** node. */
  joins: 1,
  /** node, how many before it: a request about the manifest is at the registry. */
  manifest: 2,
  /** node. */
  begins: 3,
  /** read, attempt: time to look for a source. */
  looks: 4,
  /** read, attempt: the request is at the source. */
  asked: 5,
  /** read, attempt: the source begins to send. */
  starts: 6,
  /** read, attempt: the last byte is there. */
  arrived: 7,
  /** read: the directory knows that its node has the layer. */
  visible: 8,
  crash: 9,
  /** The directory knows who has died. */
  forgets: 10,
} as const;

/** A probe, a token, and the manifest by HEAD and by GET. */
const MANIFEST_REQUESTS = 4;
/** Who is in the middle of something with a dead one notices after so long. */
const NOTICED_MS = 1000;

/**
 * Whole layers, each read as one flow from one source: the registry, or with `sharing` somebody who has all of it.
 * Layers are read at the same time. A read is numbered node * layers + layer. Of the profile only `joinTakesTime`
 * counts: what the machines cost is not charged.
 */
export class LayerCopies {
  readonly #scenario: Scenario;
  readonly #sharing: boolean;
  readonly #rng: Rng;
  readonly #population: Population;
  readonly #wheel = new TimingWheel();
  readonly #flows: FanOut;
  readonly #line: RegistryLine;
  readonly #directory: HolderDirectory;
  readonly #tally: Tally;
  readonly #registry: number;
  readonly #layers: number;
  /** One way, for what happens before the first read of a layer. */
  readonly #joinLatencyMs: number;
  readonly #dead: Uint8Array;
  /** Node -> whether it has a token of the registry. */
  readonly #admitted: Uint8Array;
  /** Node -> layers that it lacks. */
  readonly #lacks: Int32Array;
  /** Read -> from whom. */
  readonly #source: Int32Array;
  readonly #attempt: Int32Array;
  #unfinished: number;

  constructor(scenario: Scenario, sharing: boolean, onProgress: OnProgress) {
    const { nodes, blobs, profile, latencyMs, registryRequestRate } = scenario;
    this.#scenario = scenario;
    this.#sharing = sharing;
    this.#rng = createRng(scenario.rngSeed);
    this.#population = new Population(scenario, this.#rng);
    this.#registry = registryOf(scenario);
    this.#layers = blobs.length;
    const reads = nodes * this.#layers;
    const rates = linkRates(scenario, (node) => this.#population.isSlow(node));
    this.#flows = new FanOut(rates, reads, this.#wheel, Happens.sent);
    this.#line = new RegistryLine(registryRequestRate);
    this.#directory = new HolderDirectory(this.#layers);
    this.#tally = new Tally(scenario, this.#population, onProgress);
    this.#joinLatencyMs = profile.joinTakesTime ? latencyMs : 0;
    this.#dead = new Uint8Array(nodes);
    this.#admitted = new Uint8Array(nodes);
    this.#lacks = new Int32Array(nodes).fill(this.#layers);
    this.#source = new Int32Array(reads);
    this.#attempt = new Int32Array(reads);
    this.#unfinished = nodes;
  }

  /** @throws INTERNAL when nothing happens any more although nodes are waiting */
  run(): Outcome {
    const { crash } = this.#scenario;
    this.#population.asksAt.forEach((at, node) => this.#wheel.add(at, Happens.joins, node, 0, 0, 0));
    if (crash !== undefined) this.#wheel.add(crash.atMs, Happens.crash, 0, 0, 0, 0);
    while (this.#unfinished > 0) {
      if (!this.#wheel.next()) {
        throw new DamselflyError('INTERNAL', 'the simulated reads came to a halt', {
          unfinished: this.#unfinished,
        });
      }
      this.#happen();
    }
    return this.#tally.outcome(this.#line.answered);
  }

  #happen(): void {
    const { kind, a, b, now } = this.#wheel;
    switch (kind) {
      case Happens.sent:
        for (const read of this.#flows.ended(a, b)) this.#sent(read);
        break;
      case Happens.joins:
        this.#joins(a);
        break;
      case Happens.manifest:
        this.#manifest(a, b);
        break;
      case Happens.begins:
        for (let layer = 0; layer < this.#layers; layer++) this.#look(a * this.#layers + layer);
        break;
      case Happens.visible:
        if (this.#dead[this.#nodeOf(a)] === 0) this.#directory.add(this.#nodeOf(a), a % this.#layers);
        break;
      case Happens.crash:
        this.#crash();
        break;
      case Happens.forgets:
        this.#directory.forget((node) => this.#dead[node] === 1);
        break;
      default:
        if (this.#attempt[a] !== b || this.#dead[this.#nodeOf(a)] === 1) break;
        if (kind === Happens.looks) this.#look(a);
        else if (kind === Happens.asked) this.#asked(a, now);
        else if (kind === Happens.starts) this.#start(a);
        else this.#arrived(a);
    }
  }

  #nodeOf(read: number): number {
    return Math.floor(read / this.#layers);
  }

  /** For an attempt at a read. */
  #setUp(atMs: number, kind: number, read: number): void {
    this.#wheel.add(atMs, kind, read, this.#attempt[read]!, 0, 0);
  }

  /**
   * A node that shares takes the manifest from whoever has the first layer, when the directory knows anybody; otherwise
   * it asks the registry.
   */
  #joins(node: number): void {
    const { now } = this.#wheel;
    if (this.#dead[node] === 1) return;
    const there = now + this.#joinLatencyMs;
    if (!this.#sharing) {
      this.#wheel.add(there, Happens.manifest, node, 0, 0, 0);
      return;
    }
    const heard = trackerHears(this.#scenario, now);
    if (heard > now) {
      this.#wheel.add(heard, Happens.joins, node, 0, 0, 0);
      return;
    }
    // The directory's answer takes a round trip, and so does the manifest from a holder.
    const known = this.#directory.knows(0);
    const kind = known ? Happens.begins : Happens.manifest;
    this.#wheel.add(there + (known ? 3 : 2) * this.#joinLatencyMs, kind, node, 0, 0, 0);
  }

  /** Each request waits for the answer to the one before it. */
  #manifest(node: number, before: number): void {
    const { now } = this.#wheel;
    if (this.#dead[node] === 1) return;
    this.#admitted[node] = 1;
    let answeredAt = this.#line.take(now);
    let done = before + 1;
    // Without latency and without a line to stand in, all of them are over at once.
    while (done < MANIFEST_REQUESTS && answeredAt + 2 * this.#joinLatencyMs === now) {
      answeredAt = this.#line.take(now);
      done++;
    }
    if (done < MANIFEST_REQUESTS) {
      this.#wheel.add(answeredAt + 2 * this.#joinLatencyMs, Happens.manifest, node, done, 0, 0);
    } else {
      this.#wheel.add(answeredAt + this.#joinLatencyMs, Happens.begins, node, 0, 0, 0);
    }
  }

  /** Looks for a source and asks it. */
  #look(read: number): void {
    const { now } = this.#wheel;
    const node = this.#nodeOf(read);
    if (this.#dead[node] === 1) return;
    const heard = this.#sharing ? trackerHears(this.#scenario, now) : now;
    if (heard > now) {
      this.#setUp(heard, Happens.looks, read);
      return;
    }
    const source = this.#directory.pick(node, read % this.#layers, this.#rng) ?? this.#registry;
    this.#source[read] = source;
    this.#attempt[read]!++;
    this.#setUp(now + latencyBetween(this.#scenario, node, source), Happens.asked, read);
  }

  #asked(read: number, now: number): void {
    const source = this.#source[read]!;
    if (source !== this.#registry) {
      if (this.#dead[source] === 1) this.#setUp(now + NOTICED_MS, Happens.looks, read);
      else this.#start(read);
      return;
    }
    const node = this.#nodeOf(read);
    if (this.#admitted[node] === 0) {
      // It has the manifest from another node: only a probe and a token come before this read.
      this.#admitted[node] = 1;
      this.#line.take(now);
      this.#line.take(now);
    }
    const answeredAt = this.#line.take(now);
    if (answeredAt > now) this.#setUp(answeredAt, Happens.starts, read);
    else this.#start(read);
  }

  #start(read: number): void {
    const { now } = this.#wheel;
    const node = this.#nodeOf(read);
    const layer = read % this.#layers;
    const source = this.#source[read]!;
    this.#flows.start(read, source, node, this.#scenario.blobs[layer]!.bytes);
    // The caller reads along.
    if (layer === 0 && Number.isNaN(this.#tally.firstByteMs[node]!)) {
      this.#tally.firstByteMs[node] = now + latencyBetween(this.#scenario, node, source);
    }
  }

  #sent(read: number): void {
    const node = this.#nodeOf(read);
    const source = this.#source[read]!;
    this.#tally.sent(source, node, this.#scenario.blobs[read % this.#layers]!.bytes);
    this.#setUp(this.#wheel.now + latencyBetween(this.#scenario, node, source), Happens.arrived, read);
  }

  #arrived(read: number): void {
    const { now } = this.#wheel;
    const node = this.#nodeOf(read);
    const source = this.#source[read]!;
    const { pieces } = this.#scenario.blobs[read % this.#layers]!;
    if (this.#population.isLiar(source)) {
      // Only the digest of the whole layer tells: all of it is read again.
      this.#tally.piecesRejected += pieces;
      if (this.#directory.ban(node, source)) this.#tally.bans++;
      this.#look(read);
      return;
    }
    this.#tally.arrived(pieces, now);
    if (this.#sharing) this.#wheel.add(now + this.#scenario.latencyMs, Happens.visible, read, 0, 0, 0);
    this.#lacks[node]!--;
    if (this.#lacks[node]! > 0) return;
    this.#tally.doneMs[node] = now;
    this.#unfinished--;
  }

  #crash(): void {
    const { now } = this.#wheel;
    // Before anybody looks again.
    this.#wheel.add(now + NOTICED_MS, Happens.forgets, 0, 0, 0, 0);
    for (let node = 0; node < this.#scenario.nodes; node++) {
      if (!this.#population.isDoomed(node)) continue;
      this.#dead[node] = 1;
      if (this.#lacks[node]! > 0) this.#unfinished--;
    }
    for (let read = 0; read < this.#source.length; read++) {
      const node = this.#nodeOf(read);
      const source = this.#source[read]!;
      if (!this.#flows.isRunning(read) || (this.#dead[node] === 0 && this.#dead[source] !== 1)) continue;
      const { bytes } = this.#scenario.blobs[read % this.#layers]!;
      this.#tally.sent(source, node, bytes - this.#flows.stop(read));
      if (this.#dead[node] === 0) this.#setUp(now + NOTICED_MS, Happens.looks, read);
    }
  }
}

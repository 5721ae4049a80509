import type { TimingWheel } from '../physics/wheel.ts';
import type { Scenario } from '../scenario.ts';
import { FanOut } from './fan-out.ts';
import type { RegistryLine } from './registry-line.ts';
import type { Tally } from './tally.ts';
import { registryOf } from './ways.ts';

/** Kinds of the events that a {@link StripedRead} sets, and gets back through the method of the same name. */
interface Kinds {
  /** end, version. */
  readonly striped: number;
  /** stripe, attempt. */
  readonly reads: number;
  /** stripe, attempt. */
  readonly landed: number;
}

/** A probe, a token, and the manifest by HEAD and by GET; once for all seeds. */
const MANIFEST_REQUESTS = 4;
const NOTICED_MS = 1000;

/**
 * Seeds read each layer from the registry, an equal stripe each, and exchange the stripes for free once all are there.
 * The stripe of a seed that dies before is read again by another one. A stripe is numbered layer * seeds + index.
 */
export class StripedRead {
  readonly #scenario: Scenario;
  readonly #wheel: TimingWheel;
  readonly #kinds: Kinds;
  readonly #flows: FanOut;
  readonly #line: RegistryLine;
  readonly #tally: Tally;
  readonly #registry: number;
  /** Stripe -> the seed that reads it, and how many times somebody has begun to. */
  readonly #reader: Int32Array;
  readonly #attempt: Int32Array;
  /** Layer -> stripes that it lacks. */
  readonly #lacks: Int32Array;
  readonly #deadSeeds = new Set<number>();

  constructor(
    scenario: Scenario,
    rates: Float64Array,
    wheel: TimingWheel,
    kinds: Kinds,
    line: RegistryLine,
    tally: Tally,
  ) {
    const { seeds, blobs } = scenario;
    const stripes = blobs.length * seeds;
    this.#scenario = scenario;
    this.#wheel = wheel;
    this.#kinds = kinds;
    this.#flows = new FanOut(rates, stripes, wheel, kinds.striped);
    this.#line = line;
    this.#tally = tally;
    this.#registry = registryOf(scenario);
    this.#reader = Int32Array.from({ length: stripes }, (_, stripe) => stripe % seeds);
    this.#attempt = new Int32Array(stripes);
    this.#lacks = new Int32Array(blobs.length).fill(seeds);
  }

  /** The first node has asked for the image. */
  begin(): void {
    const { profile, latencyMs } = this.#scenario;
    const { now } = this.#wheel;
    const roundTripMs = profile.joinTakesTime ? 2 * latencyMs : 0;
    let at = now;
    for (let i = 0; i < MANIFEST_REQUESTS; i++) at = this.#line.take(at) + roundTripMs;
    for (let stripe = 0; stripe < this.#reader.length; stripe++) this.#ask(stripe, at);
  }

  reads(stripe: number, attempt: number): void {
    if (this.#attempt[stripe] !== attempt) return;
    const { nodes } = this.#scenario;
    this.#flows.start(stripe, this.#registry, nodes + this.#reader[stripe]!, this.#bytesOf(stripe));
  }

  striped(end: number, version: number): void {
    const { nodes, latencyMs } = this.#scenario;
    for (const stripe of this.#flows.ended(end, version)) {
      this.#tally.sent(this.#registry, nodes + this.#reader[stripe]!, this.#bytesOf(stripe));
      const at = this.#wheel.now + latencyMs;
      this.#wheel.add(at, this.#kinds.landed, stripe, this.#attempt[stripe]!, 0, 0);
    }
  }

  /** @returns the layer that is whole now, or -1 */
  landed(stripe: number, attempt: number): number {
    if (this.#attempt[stripe] !== attempt) return -1;
    const layer = Math.floor(stripe / this.#scenario.seeds);
    this.#lacks[layer]!--;
    return this.#lacks[layer] === 0 ? layer : -1;
  }

  /** Of a layer that is not whole yet, whatever the seed had read is lost. */
  died(seed: number): void {
    const { nodes, seeds } = this.#scenario;
    this.#deadSeeds.add(seed);
    const heir = Array.from({ length: seeds }, (_, i) => (seed + i) % seeds).find(
      (i) => !this.#deadSeeds.has(i),
    );
    for (let stripe = 0; stripe < this.#reader.length; stripe++) {
      const layer = Math.floor(stripe / seeds);
      if (this.#reader[stripe] !== seed || this.#lacks[layer] === 0) continue;
      this.#attempt[stripe]!++;
      if (this.#flows.isRunning(stripe)) {
        this.#tally.sent(this.#registry, nodes + seed, this.#bytesOf(stripe) - this.#flows.stop(stripe));
      }
      if (heir === undefined) continue;
      this.#reader[stripe] = heir;
      this.#ask(stripe, this.#wheel.now + NOTICED_MS);
    }
  }

  #ask(stripe: number, atMs: number): void {
    const at = this.#line.take(atMs + this.#scenario.latencyMs);
    this.#wheel.add(at, this.#kinds.reads, stripe, this.#attempt[stripe]!, 0, 0);
  }

  #bytesOf(stripe: number): number {
    const { blobs, seeds } = this.#scenario;
    return blobs[Math.floor(stripe / seeds)]!.bytes / seeds;
  }
}

import type { Outcome } from '../outcome.ts';
import type { Population } from '../population.ts';
import { pieceCount, type Scenario, zoneOf } from '../scenario.ts';

/** What is counted while a simulation runs. Times in milliseconds. */
export class Tally {
  originBytes = 0;
  originRequests = 0;
  crossZoneBytes = 0;
  piecesRejected = 0;
  bans = 0;
  /** Pieces that came to their nodes. */
  pieces = 0;
  /** Nodes that have everything. */
  done = 0;
  readonly askedAt: Float64Array;
  /** Node -> pieces that it misses. */
  readonly missing: Int32Array;
  readonly #scenario: Scenario;
  readonly #firstAt: Float64Array;
  readonly #doneAt: Float64Array;
  readonly #sentBytes: Float64Array;

  constructor(scenario: Scenario) {
    const { nodes, seeds } = scenario;
    this.#scenario = scenario;
    this.askedAt = new Float64Array(nodes);
    this.missing = new Int32Array(nodes).fill(pieceCount(scenario));
    this.#firstAt = new Float64Array(nodes).fill(Number.NaN);
    this.#doneAt = new Float64Array(nodes).fill(Number.NaN);
    this.#sentBytes = new Float64Array(nodes + seeds);
  }

  sent(from: number, to: number, bytes: number): void {
    this.#sentBytes[from]! += bytes;
    if (this.#scenario.zones > 1 && zoneOf(this.#scenario, from) !== zoneOf(this.#scenario, to)) {
      this.crossZoneBytes += bytes;
    }
  }

  /** The node has one more piece, verified and stored. */
  gained(node: number, blob: number, piece: number, now: number): void {
    this.pieces++;
    if (blob === 0 && piece === 0) this.#firstAt[node] = now;
    if (--this.missing[node]! > 0) return;
    this.#doneAt[node] = now;
    this.done++;
  }

  /** The node has hashed all that it has: if that is everything, its client has it. */
  hashed(node: number, at: number): void {
    if (this.missing[node] === 0) this.#doneAt[node] = Math.max(this.#doneAt[node]!, at);
  }

  outcome(population: Population): Outcome {
    const { nodes } = this.#scenario;
    const since = (at: number, node: number): number => (at - this.askedAt[node]!) / 1000;
    return {
      joinedAt: this.askedAt.map((at) => at / 1000),
      seconds: this.#doneAt.map(since),
      firstByteSeconds: this.#firstAt.map(since),
      counted: Uint8Array.from({ length: nodes }, (_, node) => (population.counts(node) ? 1 : 0)),
      originBytes: this.originBytes,
      originRequests: this.originRequests,
      crossZoneBytes: this.crossZoneBytes,
      uploadMaxBytes: this.#sentBytes.subarray(0, nodes).reduce((most, bytes) => Math.max(most, bytes), 0),
      piecesRejected: this.piecesRejected,
      bans: this.bans,
    };
  }

  /** Share of all pieces that came, 0 to 1. */
  get share(): number {
    return this.pieces / (pieceCount(this.#scenario) * this.#scenario.nodes);
  }
}

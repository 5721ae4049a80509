import type { OnProgress, Outcome } from '../outcome.ts';
import type { Population } from '../population.ts';
import { pieceCount, type Scenario } from '../scenario.ts';
import { crossesZones, registryOf } from './ways.ts';

const PIECES_PER_REPORT = 1 << 16;

/** What a run of a model has come to so far. */
export class Tally {
  /** Node -> time of its last byte and of its first readable one; NaN before. */
  readonly doneMs: Float64Array;
  readonly firstByteMs: Float64Array;
  piecesRejected = 0;
  bans = 0;
  readonly #scenario: Scenario;
  readonly #population: Population;
  readonly #onProgress: OnProgress;
  /** End -> bytes. */
  readonly #sent: Float64Array;
  readonly #allPieces: number;
  #pieces = 0;
  #reported = 0;
  #crossZoneBytes = 0;

  constructor(scenario: Scenario, population: Population, onProgress: OnProgress) {
    this.#scenario = scenario;
    this.#population = population;
    this.#onProgress = onProgress;
    this.doneMs = new Float64Array(scenario.nodes).fill(Number.NaN);
    this.firstByteMs = new Float64Array(scenario.nodes).fill(Number.NaN);
    this.#sent = new Float64Array(registryOf(scenario) + 1);
    this.#allPieces = scenario.nodes * pieceCount(scenario);
  }

  /** Bytes went out, whether or not they were of use. */
  sent(from: number, to: number, bytes: number): void {
    this.#sent[from]! += bytes;
    if (crossesZones(this.#scenario, from, to)) this.#crossZoneBytes += bytes;
  }

  /** So many good pieces arrived. */
  arrived(pieces: number, nowMs: number): void {
    this.#pieces += pieces;
    if (this.#pieces - this.#reported < PIECES_PER_REPORT) return;
    this.#reported = this.#pieces;
    this.#onProgress(nowMs / 1000, this.#pieces, this.#pieces / this.#allPieces);
  }

  outcome(originRequests: number): Outcome {
    const { asksAt } = this.#population;
    const sinceJoin = (ms: number, node: number): number => (ms - asksAt[node]!) / 1000;
    return {
      joinedAt: asksAt.map((ms) => ms / 1000),
      seconds: this.doneMs.map(sinceJoin),
      firstByteSeconds: this.firstByteMs.map(sinceJoin),
      counted: Uint8Array.from(asksAt, (_, node) => (this.#population.counts(node) ? 1 : 0)),
      originBytes: this.#sent[registryOf(this.#scenario)]!,
      originRequests,
      crossZoneBytes: this.#crossZoneBytes,
      uploadMaxBytes: this.#sent
        .subarray(0, this.#scenario.nodes)
        .reduce((most, each) => Math.max(most, each), 0),
      piecesRejected: this.piecesRejected,
      bans: this.bans,
    };
  }
}

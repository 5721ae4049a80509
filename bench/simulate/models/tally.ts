import type { OnProgress, Outcome } from '../outcome.ts';
import type { Scenario } from '../scenario.ts';
import { crossesZones, type Fleet, registryOf } from './fleet.ts';

const PIECES_PER_REPORT = 1 << 16;

/** What a run of a model has come to so far. */
export class Tally {
  /** Node -> time of its last byte and of its first readable one; NaN before. */
  readonly doneMs: Float64Array;
  readonly firstByteMs: Float64Array;
  piecesRejected = 0;
  bans = 0;
  readonly #scenario: Scenario;
  readonly #fleet: Fleet;
  readonly #onProgress: OnProgress;
  /** End -> bytes. */
  readonly #sent: Float64Array;
  readonly #allPieces: number;
  #pieces = 0;
  #reported = 0;
  #crossZoneBytes = 0;

  constructor(scenario: Scenario, fleet: Fleet, onProgress: OnProgress) {
    this.#scenario = scenario;
    this.#fleet = fleet;
    this.#onProgress = onProgress;
    this.doneMs = new Float64Array(scenario.nodes).fill(Number.NaN);
    this.firstByteMs = new Float64Array(scenario.nodes).fill(Number.NaN);
    this.#sent = new Float64Array(registryOf(scenario) + 1);
    this.#allPieces = scenario.nodes * scenario.blobs.reduce((sum, { pieces }) => sum + pieces, 0);
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
    const { joinedMs, slow, dies, poisoned } = this.#fleet;
    const sinceJoin = (ms: number, node: number): number => (ms - joinedMs[node]!) / 1000;
    return {
      joinedAt: joinedMs.map((ms) => ms / 1000),
      seconds: this.doneMs.map(sinceJoin),
      firstByteSeconds: this.firstByteMs.map(sinceJoin),
      counted: slow.map((isSlow, node) => (isSlow + dies[node]! + poisoned[node]! === 0 ? 1 : 0)),
      originBytes: this.#sent[registryOf(this.#scenario)]!,
      originRequests,
      crossZoneBytes: this.#crossZoneBytes,
      uploadMaxBytes: this.#sent.subarray(0, this.#scenario.nodes).reduce((most, each) => Math.max(most, each), 0),
      piecesRejected: this.piecesRejected,
      bans: this.bans,
    };
  }
}

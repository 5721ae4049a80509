import type { Scenario } from './scenario.ts';

/** What came out of a run of any strategy. Times in seconds. */
export interface Outcome {
  /** Node -> when its caller asked for the image. */
  readonly joinedAt: Float64Array;
  /** Node -> from then to its last byte; NaN for a node that died before. */
  readonly seconds: Float64Array;
  /** Node -> from then to the first byte that its caller could read of the first layer; NaN as above. */
  readonly firstByteSeconds: Float64Array;
  /** Node -> 1 when it counts in percentiles: neither dead nor slow nor poisonous. */
  readonly counted: Uint8Array;
  /** Bytes read from the registry. */
  readonly originBytes: number;
  /** Requests that the registry answered: probes, tokens, manifests, and reads of blobs. */
  readonly originRequests: number;
  /** Bytes of pieces that crossed a border between zones; registry reads do not count. */
  readonly crossZoneBytes: number;
  /** Most bytes that one node sent. */
  readonly uploadMaxBytes: number;
  /** Pieces that did not match their proofs. */
  readonly piecesRejected: number;
  /** Times that a node banned another one. */
  readonly bans: number;
}

/** Runs a scenario to its end. @param onProgress called now and then */
export type Strategy = (scenario: Scenario, onProgress: OnProgress) => Outcome;

/** Simulated seconds so far, pieces that arrived, and the share of all pieces (0 to 1) that this is. */
export type OnProgress = (simulatedSeconds: number, pieces: number, share: number) => void;

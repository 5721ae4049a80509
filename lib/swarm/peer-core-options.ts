/** How a {@link PeerCore} behaves. Times in milliseconds. The defaults were measured in simulation. */
export interface PeerCoreOptions {
  /** Pieces uploaded at the same time; never more are admitted, nobody queues. @default 4 */
  readonly uploadSlots: number;
  /** Requests in flight; equal to uploadSlots, or the balance between both ends breaks. @default 4 */
  readonly downloadSlots: number;
  /** How long a free upload slot is kept for the one neighbour that was told of it. @default 100 */
  readonly keepMs: number;
  /**
   * Probability of going on with the same neighbour after a piece. That saves most messages about slots; always doing
   * so would leave nodes with few suppliers behind (p99.9 1.59 instead of 1.13 of the limit). @default 0.75
   */
  readonly stayShare: number;
  /** Probability of taking the first missing piece in order; otherwise a locally rare one. @default 0.5 */
  readonly inOrderShare: number;
  /** Candidates looked at for a locally rare piece. @default 48 */
  readonly sample: number;
  /**
   * Without a byte for so long a request is suspect: its slot is free and its piece may be asked elsewhere. After a crash
   * of a tenth of 10,000 nodes p99.9 is 1.071 of the limit with 200 ms, 1.080 with 300. @default 200
   */
  readonly suspectMs: number;
  /** A request that takes so many times the usual time of its blob is slow: its slot is free too. @default 4 */
  readonly slowFactor: number;
  /** Without progress from the own zone for so long, other zones may be asked. @default 1000 */
  readonly remoteAfterMs: number;
  /** Without any progress for so long, a supernode may be asked for what it told us it has. @default 1000 */
  readonly askSupernodeAfterMs: number;
  /** First pause after a peer was unreachable or suspect; doubles with each failure in a row. @default 200 */
  readonly backoffMs: number;
  /** Longest such pause. @default 10000 */
  readonly maxBackoffMs: number;
  /** How often a node compares its own speed with that of its neighbours. @default 250 */
  readonly speedWindowMs: number;
  /** How often a neighbour is told again that we wait for a slot of it. @default 1000 */
  readonly waitRepeatMs: number;
  /** Pause of all requests after a failure of our own (disk). @default 1000 */
  readonly localPauseMs: number;
}

export const DEFAULT_PEER_CORE_OPTIONS: PeerCoreOptions = {
  uploadSlots: 4,
  downloadSlots: 4,
  keepMs: 100,
  stayShare: 0.75,
  inOrderShare: 0.5,
  sample: 48,
  suspectMs: 200,
  slowFactor: 4,
  remoteAfterMs: 1000,
  askSupernodeAfterMs: 1000,
  backoffMs: 200,
  maxBackoffMs: 10_000,
  speedWindowMs: 250,
  waitRepeatMs: 1000,
  localPauseMs: 1000,
};

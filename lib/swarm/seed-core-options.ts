/** How a SeedCore behaves. Times in milliseconds. */
export interface SeedCoreOptions {
  /**
   * Pieces uploaded or offered at the same time. Above twice a node's slots the peers' own trade starves; the fewer
   * share the line, the sooner each piece is out and can be passed on. @default 6
   */
  readonly slots: number;
  /** So many more for each further zone: with as many as a node has, a zone gets the blob as fast as a node. @default 4 */
  readonly slotsPerZone: number;
  /** How long a slot is kept for an offer that is neither taken nor declined. @default 500 */
  readonly offerTimeoutMs: number;
  /** A piece sent, but not reported held for so long, counts as not given. @default 5000 */
  readonly confirmTimeoutMs: number;
  /** How long a declined piece is not offered again to the same peer. @default 1000 */
  readonly declineMs: number;
  /**
   * A piece given to a zone has so long to spread there before a second copy is given, and a peer of another zone must
   * have got nothing for so long. @default 1000
   */
  readonly stuckMs: number;
}

export const DEFAULT_SEED_CORE_OPTIONS: SeedCoreOptions = {
  slots: 6,
  slotsPerZone: 4,
  offerTimeoutMs: 500,
  confirmTimeoutMs: 5000,
  declineMs: 1000,
  stuckMs: 1000,
};

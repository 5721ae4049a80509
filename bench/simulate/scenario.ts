/** What to simulate. Sizes in bytes, rates in bytes per second, times in milliseconds. */
export interface Scenario {
  readonly nodes: number;
  readonly blobBytes: number;
  readonly pieceBytes: number;
  /** Upload and download of each node. */
  readonly nodeRate: number;
  readonly seeds: number;
  /** Upload of each seed. */
  readonly seedRate: number;
  /** All registry reads together; striped over the seeds. */
  readonly registryRate: number;
  /** One way, between any two machines. */
  readonly latencyMs: number;
  /** How long a node collects news of its pieces before it tells its neighbours. */
  readonly haveDelayMs: number;
  readonly rngSeed: number;
}

export function pieceCount(scenario: Scenario): number {
  return Math.ceil(scenario.blobBytes / scenario.pieceBytes);
}

/**
 * The least time, in seconds, in which any scheme could serve every node: the fluid bound (Kumar and Ross 2006) with
 * the registry in front. The registry, the seeds, one node's link, and all uploads together each set a limit.
 */
export function idealSeconds(scenario: Scenario): number {
  const { nodes, blobBytes, nodeRate, seeds, seedRate, registryRate } = scenario;
  return Math.max(
    blobBytes / registryRate,
    blobBytes / (seeds * seedRate),
    blobBytes / nodeRate,
    (nodes * blobBytes) / (seeds * seedRate + nodes * nodeRate),
  );
}

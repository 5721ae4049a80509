import { imageBytes, type Scenario } from './scenario.ts';

/**
 * The least time, in seconds, in which any scheme could serve every node that is not slow, from its own start: the
 * fluid bound (Kumar and Ross 2006) with the registry in front. The registry, the seeds, one node's link, and all
 * uploads together each set a limit. Slow nodes take no more of the uploads than their own links do.
 */
export function idealSeconds(scenario: Scenario): number {
  const { nodes, nodeRate, seeds, seedRate, registryRate, slow } = scenario;
  const bytes = imageBytes(scenario);
  const slowNodes = Math.round(nodes * (slow?.share ?? 0));
  const slowRate = nodeRate * (slow?.rate ?? 1);
  const fast = nodes - slowNodes;
  const uploads = seeds * seedRate + fast * nodeRate + slowNodes * slowRate;
  return Math.max(
    bytes / registryRate,
    bytes / (seeds * seedRate),
    bytes / nodeRate,
    (fast * bytes) / (uploads - slowNodes * slowRate),
  );
}

/**
 * The same for pieces instead of a fluid, one seed and nodes of equal rates, in seconds: a piece must be whole before it
 * is passed on, so the last one needs `floor(log2 N)` more rounds (Mundinger, Weber and Weiss 2008).
 */
export function discreteIdealSeconds(nodes: number, pieces: number, pieceBytes: number, rate: number): number {
  return ((pieces + Math.floor(Math.log2(nodes))) * pieceBytes) / rate;
}

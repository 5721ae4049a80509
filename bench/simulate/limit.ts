import type { Profile } from './profile.ts';
import { imageBytes, type Scenario } from './scenario.ts';

/**
 * The least time, in seconds, in which any scheme could serve every node of a flash crowd: the fluid bound (Kumar and
 * Ross 2006) with the registry in front. The registry, the seeds, one node's link, all uploads together, and the borders
 * between zones each set a limit. Only seeds read from the registry: what nodes that fall back on it read is left out.
 * With slow nodes, one node's link is that of a fast one, and the uploads serve all nodes: a scheme that lets the slow
 * ones wait could have the fast ones done in `bytes / nodeRate`.
 */
export function idealSeconds(scenario: Scenario): number {
  const { nodes, nodeRate, seeds, seedRate, registryRate, slow } = scenario;
  const bytes = imageBytes(scenario);
  const slowNodes = Math.round(nodes * (slow?.share ?? 0));
  const slowRate = nodeRate * (slow?.rate ?? 1);
  const uploads = seeds * seedRate + (nodes - slowNodes) * nodeRate + slowNodes * slowRate;
  return Math.max(
    bytes / registryRate,
    bytes / (seeds * seedRate),
    bytes / nodeRate,
    (nodes * bytes) / uploads,
    borderSeconds(scenario),
  );
}

/**
 * Every zone with nodes needs each byte once. What its seeds do not read from the registry comes over its border, and so
 * does everything when it has none; and all seeds together read no faster than the registry sends. Nodes of a zone that
 * is better off than others may be done before that.
 */
function borderSeconds(scenario: Scenario): number {
  const { nodes, seeds, seedRate, registryRate, zones, zoneRate } = scenario;
  if (zones === 1 || zoneRate === Number.POSITIVE_INFINITY) return 0;
  const bytes = imageBytes(scenario);
  const inhabited = Math.min(zones, nodes);
  if (inhabited > seeds) return bytes / zoneRate;
  // Zones differ by one seed at most; those with the fewest are the worst off.
  const fewestSeeds = Math.floor((seeds + zones - inhabited) / zones);
  const together = (inhabited * bytes) / (registryRate + inhabited * zoneRate);
  return Math.max(bytes / (fewestSeeds * seedRate + zoneRate), together);
}

/**
 * The same for pieces instead of a fluid, one seed and nodes of equal rates, in seconds: a piece must be whole before it
 * is passed on, so the last one needs `floor(log2 N)` more rounds (Mundinger, Weber and Weiss 2008).
 */
export function discreteIdealSeconds(
  nodes: number,
  pieces: number,
  pieceBytes: number,
  rate: number,
): number {
  return ((pieces + Math.floor(Math.log2(nodes))) * pieceBytes) / rate;
}

/**
 * How long a tracker of one thread takes, in seconds, to read what every node of a crowd announces and to answer each for
 * one blob, before it reads the next one. The last one knows of nobody to ask before that, and nobody knows of it: in so
 * far its limit is later, whatever the nodes do.
 */
export function trackerLineSeconds(
  { announceMs, messageMs }: Pick<Profile, 'announceMs' | 'messageMs'>,
  nodes: number,
): number {
  return (nodes * (2 * messageMs + announceMs)) / 1000;
}

/**
 * How long the first thread of a node takes, in seconds, to check what it receives and to take the digest of it: no card
 * makes a node faster than that.
 */
export function threadSeconds({ cpuSecondsPerGB }: Pick<Profile, 'cpuSecondsPerGB'>, bytes: number): number {
  return (bytes / 1e9) * (cpuSecondsPerGB.check + cpuSecondsPerGB.digest);
}

import { parseBytes, parseRate } from '../../lib/config/units.ts';
import { type Cluster, REGISTRY_RATE } from './clusters.ts';

/** The simulated pull of a cluster with so many supernodes. */
export interface Trial {
  readonly supernodes: number;
  /** From the first start to the last byte of all. */
  readonly seconds: number;
  /** What no scheme can go below with these links. */
  readonly limitSeconds: number;
}

/** What a cluster takes. */
export interface Advice {
  readonly supernodes: number;
  readonly trackers: number;
  readonly seconds: number;
  readonly limitSeconds: number;
  /** All nodes from the registry, with nothing between them. */
  readonly directSeconds: number;
  /** The image twice: a day's other images come on top of it. */
  readonly supernodeDiskBytes: number;
  /** Of one node, for this pull. */
  readonly nodeCpuSeconds: number;
}

/** More supernodes are worth it where they bring more than this share of the time. */
const WORTH = 0.05;
/** Two, so that one may stop; a tracker serves this many nodes with two cores, by what 15,000 cost (bench:data, `tracker-nodes`). */
const LEAST_TRACKERS = 2;
const NODES_PER_TRACKER = 50_000;
/** Of sender and receiver together, which is what a node is in the mean: 2.2 to 2.5 by bench:data, `piece-cpu-vs-raw-tls`. */
const CPU_SECONDS_PER_GB = 2.5;
const GB = 1e9;

/**
 * The fewest supernodes that come within 5 % of the fastest trial, and what else such a cluster takes.
 * @param trials at least one
 */
export function adviseOn({ image, nodes }: Cluster, trials: readonly Trial[]): Advice {
  const best = Math.min(...trials.map(({ seconds }) => seconds));
  const good = trials.filter(({ seconds }) => seconds <= best * (1 + WORTH));
  const chosen = good.reduce((fewest, each) => (each.supernodes < fewest.supernodes ? each : fewest));
  const imageBytes = parseBytes(image);
  return {
    ...chosen,
    trackers: Math.max(LEAST_TRACKERS, Math.ceil(nodes / NODES_PER_TRACKER)),
    directSeconds: (nodes * imageBytes) / parseRate(REGISTRY_RATE),
    supernodeDiskBytes: 2 * imageBytes,
    nodeCpuSeconds: (imageBytes / GB) * CPU_SECONDS_PER_GB,
  };
}

import type { WorldSize } from './world.ts';

/** How large the clusters and images of a suite are. */
export interface SuiteSize {
  readonly name: string;
  readonly world: WorldSize;
  readonly imageBytes: number;
  readonly layers: number;
  /** Times that the row of kills at random instants kills. */
  readonly kills: number;
  /** Whether the makespan is held against the limits: small images on a busy machine say nothing about time. */
  readonly judgeMakespan: boolean;
  /** What the registry may send beyond a limit, over the image: a busy machine is slow, and slow is read around. */
  readonly registrySlack: number;
}

const MIB = 1024 * 1024;
/** 100 Mbit/s: an image of 300 MiB takes 25 s. */
const LINK_BYTES_PER_SECOND = 12_500_000;
const MACHINES = { supernodes: 2, trackers: 2, linkBytesPerSecond: LINK_BYTES_PER_SECOND };

export const FULL: SuiteSize = {
  name: 'full',
  world: { nodes: 12, containerdNodes: 4, ...MACHINES },
  ...{ imageBytes: 300 * MIB, layers: 4, kills: 200, judgeMakespan: true, registrySlack: 0 },
};

export const QUICK: SuiteSize = {
  name: 'quick',
  world: { nodes: 6, containerdNodes: 2, ...MACHINES },
  ...{ imageBytes: 64 * MIB, layers: 3, kills: 10, judgeMakespan: false, registrySlack: 0.1 },
};

/** Those that between them touch every part, for four minutes of continuous integration. */
export const QUICK_FAULTS: readonly string[] = [
  'nodes-killed',
  'trackers-killed',
  'all-dead',
  'half-partitioned',
  'quarter-corrupt',
  'registry-lies-once',
  'registry-cuts',
  'registry-down-basic',
  'daemons-upgraded',
  'killed-at-random',
];

import type { Outcome } from '../../bench/simulate/outcome.ts';
import type { Physics } from '../../bench/simulate/physics/fluid-links.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { imageBytes, type Scenario, simulatedBlob } from '../../bench/simulate/scenario.ts';
import { Simulation } from '../../bench/simulate/swarm/simulation.ts';

export const MIB = 1024 * 1024;

/** One blob of 100 MiB in 100 pieces, which a node takes in a second. */
export const BASE: Scenario = {
  profile: PROFILES.reference,
  rngSeed: 1,
  nodes: 60,
  nodeRate: 100 * MIB,
  seeds: 3,
  seedRate: 400 * MIB,
  registryRate: 1200 * MIB,
  registryRequestRate: Number.POSITIVE_INFINITY,
  blobs: [simulatedBlob(100 * MIB, MIB)],
  latencyMs: 0.2,
  zones: 1,
  zoneLatencyMs: 0.2,
  zoneRate: Number.POSITIVE_INFINITY,
  joinOverMs: 0,
};

export function simulate(change: Partial<Scenario> = {}, physics?: Physics): Outcome {
  return new Simulation({ ...BASE, ...change }, physics).run(() => {});
}

/** Bytes that each node pulls. */
export function imageBytesOf(change: Partial<Scenario>): number {
  return imageBytes({ ...BASE, ...change });
}

/** Bytes read from the registry, in images. */
export function originRatio({ originBytes }: Outcome, change: Partial<Scenario> = {}): number {
  return originBytes / imageBytes({ ...BASE, ...change });
}

/** Seconds of the nodes that count, the fastest first. */
export function countedSeconds({ seconds, counted }: Outcome): Float64Array {
  return seconds.filter((_, node) => counted[node] === 1).sort();
}

import { type Scenario, zoneOf } from '../scenario.ts';

/** Number of the registry among the ends. */
export function registryOf({ nodes, seeds }: Scenario): number {
  return nodes + seeds;
}

/** Whether both are in different zones; the registry is in everybody's. */
export function crossesZones(scenario: Scenario, a: number, b: number): boolean {
  const registry = registryOf(scenario);
  return a !== registry && b !== registry && zoneOf(scenario, a) !== zoneOf(scenario, b);
}

/** One way, milliseconds. */
export function latencyBetween(scenario: Scenario, a: number, b: number): number {
  return crossesZones(scenario, a, b) ? scenario.zoneLatencyMs : scenario.latencyMs;
}

/** When somebody that asks the tracker at that time is heard, milliseconds. */
export function trackerHears({ trackerDown }: Scenario, atMs: number): number {
  if (trackerDown === undefined || atMs < trackerDown.atMs) return atMs;
  return Math.max(atMs, trackerDown.atMs + trackerDown.forMs);
}

import type { Rng } from '../../../lib/runtime/rng.ts';
import { linkRates, type Scenario, zoneOf } from '../scenario.ts';

/** Who starts when, and who is slow, dies or lies. No node is two of these. */
export interface Fleet {
  /** Nodes in the order of their starts. */
  readonly order: readonly number[];
  /** Node -> when its caller asks for the image, milliseconds. */
  readonly joinedMs: Float64Array;
  readonly slow: Uint8Array;
  /** Dies at the time of the crash. */
  readonly dies: Uint8Array;
  readonly poisoned: Uint8Array;
  /** End -> bytes per millisecond. */
  readonly rates: Float64Array;
}

/** Drawn before anything else, so that every model has the same fleet. */
export function drawFleet(scenario: Scenario, rng: Rng): Fleet {
  const { nodes, joinOverMs, crash, slow, poison } = scenario;
  const order = shuffled(nodes, rng);
  const joinedMs = new Float64Array(nodes);
  order.forEach((node, rank) => {
    joinedMs[node] = (rank / nodes) * joinOverMs;
  });
  const marked = shuffled(nodes, rng);
  const mark = (share = 0): Uint8Array => {
    const marks = new Uint8Array(nodes);
    for (const node of marked.splice(0, Math.round(nodes * share))) marks[node] = 1;
    return marks;
  };
  const slowNodes = mark(slow?.share);
  return {
    order,
    joinedMs,
    slow: slowNodes,
    dies: mark(crash?.share),
    poisoned: mark(poison),
    rates: linkRates(scenario, (node) => slowNodes[node] === 1),
  };
}

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

function shuffled(count: number, rng: Rng): number[] {
  const numbers = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = rng.int(i + 1);
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
  return numbers;
}

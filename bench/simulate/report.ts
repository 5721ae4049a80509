import { formatBytes, formatRate } from '../../lib/config/units.ts';
import { idealSeconds, pieceCount, type Scenario } from './scenario.ts';
import type { Outcome } from './simulation.ts';

/** Percentiles over nodes. */
interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What a run reports: the public fields of `bench:sim --json`. All but the last two depend on the flags alone. */
export interface Report {
  readonly nodes: number;
  readonly pieces: number;
  readonly idealSeconds: number;
  readonly seconds: Percentiles;
  /** `seconds` over `idealSeconds`. */
  readonly ratio: Percentiles;
  /** Bytes read from the registry, in blobs. */
  readonly originRatio: number;
  /** Bytes that crossed a border between zones, in blobs. */
  readonly crossZoneRatio: number;
  /** Most bytes that one node sent, in blobs. */
  readonly uploadMaxRatio: number;
  readonly wallSeconds: number;
  readonly peakRssBytes: number;
}

/** Nearest rank. */
export function percentiles(values: Float64Array): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

/** @param wall what the run took on this machine */
export function report(
  scenario: Scenario,
  outcome: Outcome,
  wall: { readonly seconds: number; readonly peakRssBytes: number },
): Report {
  const ideal = idealSeconds(scenario);
  return {
    nodes: scenario.nodes,
    pieces: pieceCount(scenario),
    idealSeconds: ideal,
    seconds: percentiles(outcome.seconds),
    ratio: percentiles(outcome.seconds.map((seconds) => seconds / ideal)),
    originRatio: outcome.originBytes / scenario.blobBytes,
    // There is one zone.
    crossZoneRatio: 0,
    uploadMaxRatio: outcome.uploadMaxBytes / scenario.blobBytes,
    wallSeconds: wall.seconds,
    peakRssBytes: wall.peakRssBytes,
  };
}

/** The report for people. */
export function formatReport(scenario: Scenario, result: Report): string {
  const { nodes, nodeRate, seeds, seedRate, blobBytes, pieceBytes } = scenario;
  const row = (name: string, values: Percentiles, digits: number): string =>
    `${name.padEnd(18)}${[values.p50, values.p99, values.p999, values.max].map((v) => v.toFixed(digits).padStart(9)).join('')}`;
  return [
    `${nodes} nodes at ${formatRate(nodeRate)} pull ${formatBytes(blobBytes)} in ${result.pieces} pieces of ${formatBytes(pieceBytes)};`,
    `${seeds} seeds at ${formatRate(seedRate)}; nobody can be faster than ${result.idealSeconds.toFixed(3)} s`,
    '',
    `${''.padEnd(18)}${['p50', 'p99', 'p99.9', 'max'].map((name) => name.padStart(9)).join('')}`,
    row('seconds', result.seconds, 3),
    row('times the ideal', result.ratio, 3),
    '',
    `read from the registry  ${result.originRatio.toFixed(2)} x the blob`,
    `sent by one node        ${result.uploadMaxRatio.toFixed(2)} x the blob at most`,
    `simulated in            ${result.wallSeconds.toFixed(1)} s, ${formatBytes(result.peakRssBytes)} of memory`,
  ].join('\n');
}

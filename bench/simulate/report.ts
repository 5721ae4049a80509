import { formatBytes, formatRate } from '../../lib/config/units.ts';
import { idealSeconds } from './limit.ts';
import type { Outcome } from './outcome.ts';
import { imageBytes, pieceCount, type Scenario, zoneOf } from './scenario.ts';

/** The strategy that is ours; others are models. */
const OWN = 'damselfly';

/** Percentiles over the nodes that count, nearest rank. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What a run reports: the public fields of `bench:sim --json`. All but the last two depend on the flags alone. */
export interface Report {
  readonly profile: string;
  /** `damselfly`, or the model of another scheme. */
  readonly strategy: string;
  readonly rngSeed: number;
  readonly nodes: number;
  /** Nodes behind the percentiles: neither dead nor slow nor poisonous. */
  readonly nodesCounted: number;
  /** Pieces of all layers. */
  readonly pieces: number;
  /** The physical limit, from a node's own start. */
  readonly idealSeconds: number;
  /** From a node's own start to its last byte. */
  readonly seconds: Percentiles;
  /** `seconds` over `idealSeconds`. */
  readonly ratio: Percentiles;
  /** From a node's own start to the first byte of the first layer that its caller can read. */
  readonly firstByteSeconds: Percentiles;
  /** From the first start to the last byte of all. */
  readonly makespanSeconds: number;
  /** Bytes read from the registry, in images. */
  readonly originRatio: number;
  readonly originRequestsPerNode: number;
  /** Bytes that crossed a border between zones, in images. */
  readonly crossZoneRatio: number;
  /** The site that was cut off, when it was, and how long its nodes that count took; `forSeconds` null: to the end. */
  readonly siteCut?: {
    readonly zone: number;
    readonly atSeconds: number;
    readonly forSeconds: number | null;
    readonly seconds: Percentiles;
  };
  /** Most bytes that one node sent, in images. */
  readonly uploadMaxRatio: number;
  /** Pieces that did not match their proofs. */
  readonly piecesRejected: number;
  /** Times that a node banned another one. */
  readonly bans: number;
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
  strategy: string,
  scenario: Scenario,
  outcome: Outcome,
  wall: { readonly seconds: number; readonly peakRssBytes: number },
): Report {
  const ideal = idealSeconds(scenario);
  const image = imageBytes(scenario);
  const counts = (_: number, node: number): boolean => outcome.counted[node] === 1;
  const seconds = outcome.seconds.filter(counts);
  return {
    profile: scenario.profile.name,
    strategy,
    rngSeed: scenario.rngSeed,
    nodes: scenario.nodes,
    nodesCounted: seconds.length,
    pieces: pieceCount(scenario),
    idealSeconds: ideal,
    seconds: percentiles(seconds),
    ratio: percentiles(seconds.map((each) => each / ideal)),
    firstByteSeconds: percentiles(outcome.firstByteSeconds.filter(counts)),
    makespanSeconds: outcome.seconds.reduce(
      (most, each, node) => (Number.isNaN(each) ? most : Math.max(most, outcome.joinedAt[node]! + each)),
      0,
    ),
    originRatio: outcome.originBytes / image,
    originRequestsPerNode: outcome.originRequests / scenario.nodes,
    crossZoneRatio: outcome.crossZoneBytes / image,
    ...siteCutOf(scenario, outcome),
    uploadMaxRatio: outcome.uploadMaxBytes / image,
    piecesRejected: outcome.piecesRejected,
    bans: outcome.bans,
    wallSeconds: wall.seconds,
    peakRssBytes: wall.peakRssBytes,
  };
}

function siteCutOf(scenario: Scenario, outcome: Outcome): Pick<Report, 'siteCut'> {
  const { siteCut } = scenario;
  if (siteCut === undefined) return {};
  const { atMs, forMs, zone } = siteCut;
  const inside = outcome.seconds.filter(
    (_, node) => outcome.counted[node] === 1 && zoneOf(scenario, node) === zone,
  );
  const forSeconds = forMs === Number.POSITIVE_INFINITY ? null : forMs / 1000;
  return { siteCut: { zone, atSeconds: atMs / 1000, forSeconds, seconds: percentiles(inside) } };
}

/** The report for people. */
export function formatReport(scenario: Scenario, result: Report): string {
  const { nodes, nodeRate, seeds, seedRate } = scenario;
  const row = (name: string, values: Percentiles, digits: number): string =>
    `${name.padEnd(18)}${[values.p50, values.p99, values.p999, values.max].map((v) => v.toFixed(digits).padStart(9)).join('')}`;
  const lines = [
    `${result.strategy === OWN ? OWN : `model "${result.strategy}"`}, profile ${result.profile}, RNG seed ${result.rngSeed}`,
    `${nodes} nodes at ${formatRate(nodeRate)} pull ${formatBytes(imageBytes(scenario))} in ${result.pieces} pieces;`,
    `${seeds} seeds at ${formatRate(seedRate)}; nobody can be faster than ${result.idealSeconds.toFixed(3)} s`,
    '',
    `${''.padEnd(18)}${['p50', 'p99', 'p99.9', 'max'].map((name) => name.padStart(9)).join('')}`,
    row('seconds', result.seconds, 3),
    row('times the ideal', result.ratio, 3),
    row('first byte, s', result.firstByteSeconds, 3),
    '',
    `read from the registry  ${result.originRatio.toFixed(2)} x the image, ${result.originRequestsPerNode.toFixed(2)} requests a node`,
    `sent by one node        ${result.uploadMaxRatio.toFixed(2)} x the image at most`,
  ];
  if (scenario.zones > 1) {
    lines.push(`between zones           ${result.crossZoneRatio.toFixed(2)} x the image`);
  }
  if (result.siteCut !== undefined) {
    const { atSeconds, forSeconds, seconds, zone } = result.siteCut;
    const until = forSeconds === null ? 'to the end' : `for ${forSeconds} s`;
    lines.push(
      `site ${zone} cut off          at ${atSeconds} s, ${until}; its nodes: p50 ${seconds.p50.toFixed(3)} s, max ${seconds.max.toFixed(3)} s`,
    );
  }
  if (result.piecesRejected > 0) {
    lines.push(`pieces rejected         ${result.piecesRejected}, senders banned ${result.bans} times`);
  }
  if (result.nodesCounted < nodes) lines.push(`nodes that count        ${result.nodesCounted} of ${nodes}`);
  lines.push(
    `simulated in            ${result.wallSeconds.toFixed(1)} s, ${formatBytes(result.peakRssBytes)} of memory`,
  );
  return lines.join('\n');
}

import { pieceBytesFor } from '../../lib/core/geometry.ts';
import type { ZoneLinks } from './physics/fluid-links.ts';
import type { Profile } from './profile.ts';

/** One blob of the scenario: sizes in bytes, the last piece shorter. */
export interface SimulatedBlob {
  readonly bytes: number;
  readonly pieceBytes: number;
  readonly pieces: number;
}

/** What to simulate. Sizes in bytes, rates in bytes per second, times in milliseconds, shares from 0 to 1. */
export interface Scenario {
  readonly profile: Profile;
  readonly rngSeed: number;
  readonly nodes: number;
  /** Upload and download of each node. */
  readonly nodeRate: number;
  readonly seeds: number;
  /** Upload and download of each seed. */
  readonly seedRate: number;
  /** What the registry sends in all, to seeds and to nodes that fall back on it. */
  readonly registryRate: number;
  /** Requests a second that the registry answers; Infinity = however many come. */
  readonly registryRequestRate: number;
  /** The layers of the image that every node pulls, all at the same time, in manifest order. */
  readonly blobs: readonly SimulatedBlob[];
  /** One way, between two machines of a zone; the registry and the tracker are that far too. */
  readonly latencyMs: number;
  /** Node `n` is in zone `n % zones`, seed `s` in zone `s % zones`. */
  readonly zones: number;
  /** One way, between two machines of different zones. */
  readonly zoneLatencyMs: number;
  /** What all flows out of one zone share, and all flows into it; Infinity = no limit. Reads of the registry are free. */
  readonly zoneRate: number;
  /** Callers start evenly spread over so long, in random order; 0 = all at once (flash crowd). */
  readonly joinOverMs: number;
  /** So many nodes die at that time without a word. */
  readonly crash?: { readonly share: number; readonly atMs: number };
  /** So many nodes have only that share of the node rate. Percentiles are those of the others. */
  readonly slow?: { readonly share: number; readonly rate: number };
  /** So many seeds die at that time without a word. */
  readonly seedCrash?: { readonly count: number; readonly atMs: number };
  /**
   * Nothing passes the border of that zone from that time on for so long, Infinity = to the end. Each zone has seeds,
   * a replica of the registry and a tracker of its own. Until a link counts as broken trackers notice nothing.
   */
  readonly siteCut?: { readonly zone: number; readonly atMs: number; readonly forMs: number };
  /** The tracker answers nobody from that time on for so long. */
  readonly trackerDown?: { readonly forMs: number; readonly atMs: number };
  /** So many nodes send bytes that do not match their proofs. Percentiles are those of the others. */
  readonly poison?: number;
}

/** A blob cut as the daemons cut it, or into pieces of the given size. */
export function simulatedBlob(bytes: number, pieceBytes?: number): SimulatedBlob {
  const cut = pieceBytes ?? pieceBytesFor(bytes);
  return { bytes, pieceBytes: cut, pieces: Math.ceil(bytes / cut) };
}

/** Length of a piece in bytes. */
export function bytesOfPiece(blob: SimulatedBlob, piece: number): number {
  return Math.min(blob.pieceBytes, blob.bytes - piece * blob.pieceBytes);
}

/** Bytes that one node pulls. */
export function imageBytes({ blobs }: Scenario): number {
  return blobs.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Pieces of all layers. */
export function pieceCount({ blobs }: Scenario): number {
  return blobs.reduce((sum, { pieces }) => sum + pieces, 0);
}

/** Zone of a node or a seed. */
export function zoneOf(scenario: Scenario, end: number): number {
  const { nodes, zones } = scenario;
  return (end < nodes ? end : end - nodes) % zones;
}

/** Rate of an end in bytes per millisecond: nodes 0..nodes-1, then seeds, then the registry. */
export function linkRates(scenario: Scenario, isSlow: (node: number) => boolean): Float64Array {
  const { nodes, seeds, nodeRate, seedRate, registryRate, slow } = scenario;
  const rates = new Float64Array(nodes + seeds + 1);
  for (let node = 0; node < nodes; node++) {
    rates[node] = (nodeRate / 1000) * (isSlow(node) ? (slow?.rate ?? 1) : 1);
  }
  rates.fill(seedRate / 1000, nodes, nodes + seeds);
  rates[nodes + seeds] = registryRate / 1000;
  return rates;
}

/** What zones let through, when there is a limit. */
export function zoneLinks(scenario: Scenario): ZoneLinks | undefined {
  const { nodes, seeds, zones, zoneRate } = scenario;
  if (zones === 1 || zoneRate === Number.POSITIVE_INFINITY) return undefined;
  const registry = nodes + seeds;
  const of = Int32Array.from({ length: registry + 1 }, (_, end) =>
    end === registry ? -1 : zoneOf(scenario, end),
  );
  return { of, rate: zoneRate / 1000 };
}

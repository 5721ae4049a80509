import { createRng, type Rng } from '../../lib/runtime/rng.ts';
import { drawCapabilityFaults, drawFaults } from './draw-faults.ts';
import type { Fault } from './faults.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Blobs up to there come whole, in one message. */
const SMALL_BYTES = 256 * KIB;
/**
 * Trackers tell members of a new supernode 100 ms after it has come. Until all know of all, two may take different ones
 * for the owner of a small blob, and nobody is there who gives a node the right to get blobs from others.
 */
const SETTLES_MS = 200;
/** Three stripes of 16 MiB. */
const STRIPED_BYTES = 33 * MIB;

/** Its own stream of randomness. */
const CAPABILITIES_RNG = 9;

/** All that a run is made of, as data: what is left out of it when a failure is shrunk changes nothing else. */
export interface Plan {
  /** Of everything random in the run that the plan does not say. */
  readonly seed: number;
  readonly nodes: number;
  readonly supernodes: number;
  readonly trackers: number;
  readonly blobs: readonly BlobPlan[];
  readonly pulls: readonly PullPlan[];
  readonly network: {
    readonly latencyMs: number;
    readonly jitterMs: number;
    readonly bytesPerSecond: number;
  };
  readonly registry: {
    readonly latencyMs: number;
    readonly bytesPerSecond: number;
    readonly redirects: boolean;
  };
  /** Of all blobs that are not small. */
  readonly pieceBytes: number;
  /** Of each process's store; absent: as much as comes. */
  readonly storeMaxBytes?: number | undefined;
  readonly bufferBytes: number;
  /** Members prove who they are, sign what they read, and give blobs only to who shows a capability. @default false */
  readonly identities?: boolean;
  readonly faults: readonly Fault[];
}

export interface BlobPlan {
  readonly size: number;
  /** Where in the random bytes that all blobs are cut from it begins. */
  readonly offset: number;
}

/** A client of a node pulls a blob, and comes back until it has got it. */
export interface PullPlan {
  readonly node: string;
  /** Index into the plan's blobs. */
  readonly blob: number;
  readonly atMs: number;
  /** It takes a chunk, and then nothing for so long. */
  readonly pauseMs?: number;
}

/** Draws a small cluster and what goes wrong in it. Same seed, same plan. */
export function drawPlan(seed: number): Plan {
  const plan = draw(seed);
  // What is read once while nothing goes wrong is checked for plans without faults alone.
  return plan.faults.length > 0 ? plan : { ...plan, pulls: plan.pulls.map((pull) => settled(plan, pull)) };
}

/** The same cluster with identities and, as a rule, something that goes wrong with capabilities. */
export function withIdentities(plan: Plan): Plan {
  if (plan.faults.length === 0) {
    const pulls = plan.pulls.map((pull) => ({ ...pull, atMs: pull.atMs + SETTLES_MS }));
    return { ...plan, identities: true, pulls };
  }
  const faults = drawCapabilityFaults(createRng(plan.seed * 1000 + CAPABILITIES_RNG));
  return { ...plan, identities: true, faults: [...plan.faults, ...faults].sort((a, b) => a.atMs - b.atMs) };
}

function settled({ blobs }: Plan, pull: PullPlan): PullPlan {
  const small = (blobs[pull.blob]?.size ?? 0) <= SMALL_BYTES;
  return small ? { ...pull, atMs: pull.atMs + SETTLES_MS } : pull;
}

function draw(seed: number): Plan {
  const rng = createRng(seed);
  const nodes = 3 + rng.int(6);
  const supernodes = pick(rng, [0, 1, 1, 2, 2, 3]);
  const trackers = pick(rng, [1, 1, 2]);
  const pieceBytes = pick(rng, [16, 16, 32, 64, 256]) * KIB;
  const blobs = Array.from({ length: 1 + rng.int(3) }, (): BlobPlan => {
    const size = drawSize(rng, pieceBytes, supernodes);
    return { size, offset: rng.int(1024) * 4 * KIB };
  });
  const crowdMs = pick(rng, [5, 50, 500, 3000]);
  const pulls = blobs.flatMap((_, blob) =>
    Array.from({ length: nodes }, (_, node): PullPlan[] =>
      rng.float() < 0.8
        ? [
            {
              ...{ node: `node${node}`, blob, atMs: 100 + rng.int(crowdMs) },
              ...(rng.float() < 0.1 ? { pauseMs: 20 + rng.int(200) } : {}),
            },
          ]
        : [],
    ).flat(),
  );
  const shape = { nodes, supernodes, trackers, blobs };
  const total = blobs.reduce((sum, { size }) => sum + size, 0);
  return {
    ...{ seed, ...shape, pulls },
    network: {
      latencyMs: pick(rng, [0.2, 1, 10]),
      jitterMs: pick(rng, [0.1, 1, 5]),
      bytesPerSecond: Math.round(total / pick(rng, [0.1, 0.5, 2])),
    },
    registry: {
      latencyMs: pick(rng, [2, 20, 100]),
      bytesPerSecond: Math.round(total / pick(rng, [0.1, 0.5, 3])),
      redirects: rng.float() < 0.3,
    },
    pieceBytes,
    ...(rng.float() < 0.15 ? { storeMaxBytes: Math.max(...blobs.map(({ size }) => size)) + 64 * KIB } : {}),
    bufferBytes: pick(rng, [8, 32, 64]) * MIB,
    faults: drawFaults(rng, shape),
  };
}

/** Most have 8 to 64 pieces; some are small blobs, a few are large enough for stripes. */
function drawSize(rng: Rng, pieceBytes: number, supernodes: number): number {
  const kind = rng.float();
  const odd = rng.float() < 0.5 ? 1 + rng.int(pieceBytes - 1) : 0;
  if (kind < 0.1) return 1 + rng.int(SMALL_BYTES);
  if (kind < 0.115 && supernodes > 1) return STRIPED_BYTES + odd;
  const pieces = pieceBytes === 256 * KIB ? 2 + rng.int(10) : 8 + rng.int(56);
  return Math.max(pieces * pieceBytes, SMALL_BYTES) + odd;
}

function pick<T>(rng: Rng, choices: readonly T[]): T {
  return choices[rng.int(choices.length)] as T;
}

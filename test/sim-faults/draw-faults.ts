import type { Rng } from '../../lib/runtime/rng.ts';
import type { Fault, FaultKind } from './faults.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

interface Shape {
  readonly nodes: number;
  readonly supernodes: number;
  readonly trackers: number;
}

/** One fault of each theme; the weights say how often each is drawn. */
const THEMES: readonly (readonly [weight: number, draw: (rng: Rng, shape: Shape) => FaultKind])[] = [
  [6, (rng, shape) => ({ kind: 'kill', who: anyHost(rng, shape) })],
  [4, (rng, shape) => ({ kind: 'power', who: anyPeer(rng, shape) })],
  [2, (rng, shape) => ({ kind: 'stop', who: anyHost(rng, shape) })],
  [2, (rng, shape) => ({ kind: 'rot-while-down', who: anyPeer(rng, shape) })],
  [4, (rng, shape) => ({ kind: 'freeze', who: anyHost(rng, shape) })],
  [4, (rng, shape) => ({ kind: 'partition', side: side(rng, shape), registryToo: rng.float() < 0.3 })],
  [2, (rng, shape) => ({ kind: 'no-registry', who: anyPeer(rng, shape) })],
  [
    3,
    (rng, shape) => ({
      ...{ kind: 'bad-way', who: anyHost(rng, shape) },
      ...{ delayMs: oneOf(rng, [0, 20, 300]), loss: oneOf(rng, [0, 0.02, 0.2]) },
      share: oneOf(rng, [1, 0.1, 0.02]),
    }),
  ],
  [2, (rng, shape) => ({ kind: 'corrupt', who: anyPeer(rng, shape) })],
  [2, (rng, shape) => ({ kind: 'stall', who: anyPeer(rng, shape) })],
  [
    3,
    (rng, shape) => ({
      kind: 'disk-full',
      who: anyPeer(rng, shape),
      afterBytes: rng.int(oneOf(rng, [128 * KIB, 1 * MIB])),
    }),
  ],
  [
    3,
    (rng, shape) => ({
      ...{ kind: 'disk-fails', who: anyPeer(rng, shape) },
      what: oneOf(rng, ['write', 'read', 'sync', 'records']),
    }),
  ],
  [2, (rng, shape) => ({ kind: 'disk-slow', who: anyPeer(rng, shape), times: oneOf(rng, [20, 200]) })],
  [2, (rng, shape) => ({ kind: 'changed-file', who: anyPeer(rng, shape), share: rng.float() })],
  [
    1,
    (rng, shape) => ({
      ...{ kind: 'wall-clock', who: anyHost(rng, shape) },
      skewMs: oneOf(rng, [-600_000, 600_000]),
    }),
  ],
  [2, () => ({ kind: 'registry-down' })],
  [1, () => ({ kind: 'registry-no-ranges' })],
  [2, (rng) => ({ kind: 'registry-errors', every: oneOf(rng, [2, 3, 5]) })],
  [2, (rng) => ({ kind: 'registry-busy', retrySeconds: 1 + rng.int(3) })],
  [2, (rng) => ({ kind: 'registry-cuts', afterBytes: (1 + rng.int(16)) * 64 * KIB })],
  [2, (rng) => ({ kind: 'registry-stalls', stallMs: oneOf(rng, [500, 3000]) })],
  [2, (rng) => ({ kind: 'registry-slow', bytesPerSecond: oneOf(rng, [32 * KIB, 256 * KIB]) })],
  [2, (rng) => ({ kind: 'registry-lies', everyBytes: oneOf(rng, [128 * KIB, 1 * MIB]) })],
];
const TOTAL_WEIGHT = THEMES.reduce((sum, [weight]) => sum + weight, 0);

/** None, one (to see what one fault costs), or several at once. */
export function drawFaults(rng: Rng, shape: Shape): readonly Fault[] {
  const count = oneOf(rng, [0, 1, 1, 2, 3, 4, 6, 8]);
  const faults = Array.from({ length: count }, (): Fault => {
    const atMs = rng.float() < 0.15 ? rng.int(100) : 100 + rng.int(oneOf(rng, [300, 1500, 4000]));
    const forGood = rng.float() < 0.2;
    const forMs = 20 + rng.int(oneOf(rng, [200, 2000, 10_000]));
    const kind = drawKind(rng, shape);
    return mayLast(kind) && forGood ? { atMs, ...kind } : { atMs, forMs, ...kind };
  });
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** What goes wrong with the right to get blobs from peers. */
export function drawCapabilityFaults(rng: Rng): readonly Fault[] {
  return Array.from({ length: rng.int(3) }, (): Fault => {
    const atMs = rng.int(oneOf(rng, [300, 1500, 4000]));
    if (rng.float() < 0.5) return { atMs, forMs: 1, kind: 'capabilities-expire' };
    return { atMs, forMs: 20 + rng.int(oneOf(rng, [200, 2000, 10_000])), kind: 'registry-mints-nothing' };
  });
}

function drawKind(rng: Rng, shape: Shape): FaultKind {
  let left = rng.float() * TOTAL_WEIGHT;
  for (const [weight, draw] of THEMES) {
    left -= weight;
    if (left < 0) return draw(rng, shape);
  }
  return { kind: 'registry-down' };
}

/** Faults under which pulls are to succeed even if they never end, or that end the pulls of their own node alone. */
function mayLast({ kind }: FaultKind): boolean {
  return ['kill', 'power', 'stop', 'corrupt', 'stall', 'wall-clock', 'registry-no-ranges'].includes(kind);
}

function anyHost(rng: Rng, shape: Shape): string {
  return rng.float() < 0.2 ? `tracker${rng.int(shape.trackers)}` : anyPeer(rng, shape);
}

/** Supernodes come more often than their number: there are few, and much depends on them. */
function anyPeer(rng: Rng, { nodes, supernodes }: Shape): string {
  return supernodes > 0 && rng.float() < 0.4 ? `super${rng.int(supernodes)}` : `node${rng.int(nodes)}`;
}

/** Some hosts, of all kinds. */
function side(rng: Rng, { nodes, supernodes, trackers }: Shape): readonly string[] {
  const share = oneOf(rng, [0.2, 0.5]);
  const some = (name: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `${name}${index}`).filter(() => rng.float() < share);
  const drawn = [...some('node', nodes), ...some('super', supernodes), ...some('tracker', trackers)];
  return drawn.length > 0 ? drawn : ['node0'];
}

function oneOf<const T>(rng: Rng, choices: readonly T[]): T {
  return choices[rng.int(choices.length)] as T;
}

import type { PeerInfo } from '../core/node.ts';
import type { Discovery } from '../discovery/discovery.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Tracer } from '../observe/spans.ts';
import type { Trace } from '../observe/trace.ts';
import type { OriginClient } from '../origin/origin-client.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Rng } from '../runtime/rng.ts';
import type { BlobStore } from '../store/store.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Limits } from './limits.ts';
import type { Vouching } from './proofs/vouching.ts';
import type { Grants } from './rights/grants.ts';
import type { PeerNetwork } from './seams.ts';

/** Everything outside that an engine touches; each has an in-memory twin, so that whole clusters run in one process. */
export interface EngineDeps {
  /** Who we are; a function because the port is known only once we listen. */
  readonly self: () => PeerInfo;
  readonly network: PeerNetwork;
  readonly discovery: Discovery;
  readonly store: BlobStore;
  readonly origin: OriginClient;
  readonly pool: BufferPool;
  /** @default none */
  readonly limits?: Limits | undefined;
  /** Keeps the blobs that a supernode has read. @default none */
  readonly objects?: ObjectStore | undefined;
  /** Who may get blobs. @default whoever asks */
  readonly grants?: Grants | undefined;
  /** Signs proofs, and checks those of others. @default nobody signs */
  readonly vouching?: Vouching | undefined;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
  readonly tracer?: Tracer | undefined;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** The cluster's time, by which expiries count, milliseconds since the epoch. @default wallClockMs */
  readonly clusterTimeMs?: (() => number) | undefined;
  /** What rights age by. @default clock */
  readonly rightsClock?: Pick<Clock, 'now'> | undefined;
}

export function timeOf({ clusterTimeMs, wallClockMs }: EngineDeps): () => number {
  return clusterTimeMs ?? wallClockMs;
}

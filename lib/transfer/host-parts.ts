import { loadUpstreams } from '../config/load-upstreams.ts';
import { loadZone } from '../config/load-zone.ts';
import type { Role } from '../core/node.ts';
import { createMetrics, type Metrics } from '../observe/metrics.ts';
import { openTracer } from '../observe/otlp/open-tracer.ts';
import type { Tracer } from '../observe/spans.ts';
import { createOriginClient } from '../origin/http/http-origin-client.ts';
import type { OriginClient } from '../origin/origin-client.ts';
import { tellTrust } from '../origin/tell-trust.ts';
import type { Credentials } from '../security/credentials.ts';
import { type BufferPool, createBufferPool } from './buffer-pool.ts';
import type { EngineDeps } from './engine-deps.ts';
import { Limits } from './limits.ts';
import { pacedOrigin } from './paced-origin.ts';
import { limitSettings, type PeerHostConfig } from './peer-host-config.ts';

/** What a process has whether or not its store is open: it outlives a handover of the rest. */
export interface HostParts {
  readonly origin: OriginClient;
  readonly metrics: Metrics;
  readonly limits: Limits;
  readonly pool: BufferPool;
  readonly tracer: Tracer;
  /** What `/readyz` says of the upstreams' trust. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

export interface PeerHostDeps extends Pick<EngineDeps, 'clock' | 'rng' | 'log' | 'wallClockMs'> {
  /** Who the process is: all its connections to others are mutual TLS. Without it they are plain. */
  readonly credentials?: Credentials | undefined;
}

/** @throws CONFIG_INVALID */
export async function createHostParts(
  deps: PeerHostDeps,
  config: PeerHostConfig,
  role: Role,
): Promise<HostParts> {
  const { clock, log, rng } = deps;
  const spans = { service: `damselfly-${role}`, endpoint: config.otlpEndpoint };
  const tracer = await openTracer({ clock, log, env: process.env }, spans);
  const upstreams = loadUpstreams(config.upstream, config.authFile, loadZone(config));
  const metrics = createMetrics();
  const limits = new Limits(clock, { background: config.background === true, ...limitSettings(config) });
  const origin = pacedOrigin(createOriginClient({ upstreams, metrics, log, clock, rng, tracer }), limits);
  const pool = createBufferPool({ budgetBytes: config.bufferMemory });
  const notes = tellTrust(upstreams, metrics, log);
  const close = async (): Promise<void> => {
    await origin.close();
    await tracer.close();
  };
  return { origin, metrics, limits, pool, tracer, notes, close };
}

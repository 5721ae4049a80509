import type { UpstreamConfig } from '../config/upstream.ts';
import type { DataDir, Label, ListenAddress } from '../config/values.ts';
import type { ZoneRule } from '../config/zone-rules.ts';
import { type LimitSettings, limitsInForce } from './limits.ts';
import type { DiscoveryConfig } from './open-discovery.ts';

/** Settings that a node daemon and a supernode have in common. */
export interface PeerHostConfig extends DiscoveryConfig {
  readonly peerListen: ListenAddress;
  readonly adminListen: ListenAddress;
  readonly adminTokenFile?: string | undefined;
  readonly advertise?: { readonly host: string; readonly port?: number } | undefined;
  /** Of a collector of OpenTelemetry. */
  readonly otlpEndpoint?: string | undefined;
  readonly upstream: readonly UpstreamConfig[];
  /** Paths of files with credentials for the upstreams. */
  readonly authFile: readonly string[];
  /** At least one; the first also keeps who we are. */
  readonly dataDir: readonly DataDir[];
  /** Bytes. */
  readonly storeMax?: number | undefined;
  /** Shares of the room above which blobs are removed, and down to which. */
  readonly storeHigh: number;
  readonly storeLow: number;
  /** Milliseconds. */
  readonly storeTtl?: number | undefined;
  /** Root of a containerd whose blobs are shared from where they are. */
  readonly containerdRoot?: string | undefined;
  /** Bytes per second. */
  readonly scrubRate: number;
  /** Bytes. */
  readonly bufferMemory: number;
  /** Bytes per second; without them there is no limit, or the one of `background`. */
  readonly uploadRate?: number | undefined;
  readonly downloadRate?: number | undefined;
  readonly registryRate?: number | undefined;
  readonly borderRate?: number | undefined;
  readonly maxConnections?: number | undefined;
  /** Lowest scheduling priority, low limits. */
  readonly background?: boolean | undefined;
  readonly zone: string;
  /** Where the zone stands, and how it follows from addresses, unless it was said. */
  readonly zoneFile?: string | undefined;
  readonly zoneCidr?: readonly ZoneRule[] | undefined;
  /** By what trackers choose this machine, besides its zone. */
  readonly label?: readonly Label[] | undefined;
}

/** The limits that the settings ask for. */
export function limitSettings(config: PeerHostConfig): LimitSettings {
  const { background, borderRate, downloadRate, maxConnections, registryRate, uploadRate } = config;
  const given = Object.entries({ uploadRate, downloadRate, registryRate, borderRate, maxConnections });
  const named = Object.fromEntries(
    given.filter(([, value]) => value !== undefined),
  ) as Partial<LimitSettings>;
  return limitsInForce({ background: background === true, ...named });
}

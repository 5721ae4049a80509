import type { ListenAddress } from '../config/values.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import type { PeerInfo } from '../core/node.ts';
import type { Discovery } from '../discovery/discovery.ts';
import { createFallbackDiscovery, type FoundBy } from '../discovery/fallback-discovery.ts';
import { createCertifiedMembers } from '../discovery/libp2p/certified-members.ts';
import { type ClusterKeys, clusterKeys } from '../discovery/libp2p/cluster-keys.ts';
import type { OpenDht } from '../discovery/libp2p/dht.ts';
import { createDhtDiscovery, type DhtDiscovery } from '../discovery/libp2p/dht-discovery.ts';
import { createNoDiscovery } from '../discovery/no-discovery.ts';
import type { PreheatPort } from '../discovery/preheat-port.ts';
import { RememberedPeers } from '../discovery/remembered-peers.ts';
import { createTrackerDiscovery } from '../discovery/tracker/tracker-discovery.ts';
import type { TrackerLinkDeps } from '../discovery/tracker/tracker-link.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Rng } from '../runtime/rng.ts';
import type { Credentials } from '../security/credentials.ts';
import type { Disk } from '../store/disk/disk.ts';
import { turnsAmong } from '../swarm/sites.ts';
import type { DhtLocator } from './seams.ts';

/** Connections of the DHT: every node greets its supernodes, and knows a few others. */
const DHT_CONNECTIONS = { node: 128, supernode: 1000 } as const;
/** Of a cluster that was given none: keeps nobody out, and gives away nothing that a tracker would not. */
const NO_CLUSTER_KEY = 'damselfly without a cluster key';
const MIN_KEY_CHARS = 16;

export interface DiscoveryConfig {
  readonly tracker: readonly string[];
  /** `auto`: trackers, and the DHT while none of them answers. */
  readonly discovery: 'auto' | 'tracker' | 'dht';
  /** Peer ports by which the DHT is joined, besides those that are remembered. */
  readonly bootstrap: readonly ListenAddress[];
  readonly dhtListen: ListenAddress;
  /** File with the key of the cluster's DHT. */
  readonly clusterKeyFile?: string | undefined;
  readonly advertise?: { readonly host: string } | undefined;
}

export interface OpenDiscoveryDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly disk: Disk;
  readonly locator: DhtLocator;
  /** Tells trackers what this process does when somebody watches there. */
  readonly reporter?: TrackerLinkDeps['reporter'];
  /** Told our zone when a tracker knows it. */
  readonly placed?: TrackerLinkDeps['placed'];
  /** Who we are, for trackers and members of the DHT. */
  readonly credentials?: Credentials | undefined;
  /** Takes orders of trackers to preheat. */
  readonly preheat?: PreheatPort | undefined;
}

export interface OpenedDiscovery {
  readonly discovery: Discovery;
  /** Who names peers now. */
  by(): FoundBy;
  /** The way into the DHT, for peers that ask; undefined when we are never in one. */
  readonly dhtDoor?: DhtDiscovery['door'];
  close(): Promise<void>;
}

/**
 * Discovery as the configuration wants it.
 * @param folder where peers are remembered
 * @throws CONFIG_INVALID
 */
export async function openDiscovery(
  deps: OpenDiscoveryDeps,
  config: DiscoveryConfig,
  peer: PeerInfo,
  folder: string,
): Promise<OpenedDiscovery> {
  const { bootstrap, discovery: mode, tracker } = config;
  const trackers =
    tracker.length === 0 || mode === 'dht'
      ? createNoDiscovery()
      : createTrackerDiscovery(deps, { trackers: tracker, peer });
  const dhtOnly = mode === 'dht' || tracker.length === 0;
  if (mode === 'tracker' || (mode === 'auto' && dhtOnly && bootstrap.length === 0)) {
    const by = (): 'tracker' | 'nobody' => (trackers.reachable ? 'tracker' : 'nobody');
    return { discovery: trackers, by, close: () => trackers.close() };
  }
  const { clock, credentials, disk, locator, log, metrics, rng } = deps;
  try {
    const keys = clusterKeys(await loadClusterKey(disk, config.clusterKeyFile));
    const identities =
      credentials &&
      createCertifiedMembers({
        ...{ credentials, log },
        onStranger: (reason) => metrics.strangers.inc({ reason }),
      });
    const remembered = await RememberedPeers.load(deps, folder);
    metrics.rememberedPeers.set(remembered.all.length);
    const openDht = (presumed: () => readonly PeerInfo[]): DhtDiscovery =>
      createDhtDiscovery(
        {
          ...{ clock, identities, keys, log, presumed, rng },
          open: lazily(deps, config, peer.role, keys),
          seeds: () => [...bootstrap, ...remembered.all],
          locate: (seed, signal) => locator.locateDht(seed, { signal }),
          metrics: {
            members: (count) => metrics.dhtMembers.set(count),
            records: (count) => metrics.dhtRecords.set(count),
            published: (outcome) => metrics.dhtPublished.inc({ outcome }),
            sought: (outcome) => metrics.dhtSearches.inc({ outcome }),
          },
        },
        { peer, turns: turnsAmong(peer) },
      );
    const discovery = createFallbackDiscovery(
      {
        ...{ clock, log, openDht, rng, trackers },
        remembered: {
          get all() {
            return remembered.all;
          },
          note(peers) {
            remembered.note(peers);
            metrics.rememberedPeers.set(remembered.all.length);
          },
        },
        metrics: {
          answered: (from) => metrics.discoveryAnswers.inc({ from }),
          dht: (joined) => metrics.dhtJoined.set(joined ? 1 : 0),
        },
      },
      { peer, turns: turnsAmong(peer), dhtOnly },
    );
    return {
      discovery,
      by: () => discovery.by,
      dhtDoor: () => discovery.door(),
      async close() {
        await discovery.close();
        await remembered.close();
      },
    };
  } catch (error) {
    await trackers.close();
    throw error;
  }
}

/** libp2p is loaded only by processes that need it: it takes half as much memory again as all the rest. */
function lazily(
  { clock, log }: OpenDiscoveryDeps,
  { advertise, clusterKeyFile, dhtListen }: DiscoveryConfig,
  role: PeerInfo['role'],
  keys: ClusterKeys,
): OpenDht {
  return async (listener) => {
    const { openLibp2pDht } = await import('../discovery/libp2p/libp2p-dht.ts');
    // Without a key of its own, a cluster must not meet the others on its LAN.
    const lan = clusterKeyFile !== undefined;
    if (!lan) log.warn('the DHT has no --cluster-key-file: whoever reaches its port may join it');
    const maxConnections = DHT_CONNECTIONS[role];
    const open = (listen: ListenAddress): ReturnType<OpenDht> =>
      openLibp2pDht(
        { clock, log },
        { keys, listen, lan, maxConnections, advertise: advertise?.host },
        listener,
      );
    try {
      return await open(dhtListen);
    } catch (error) {
      // Others ask the peer port where the DHT is: any port will do.
      log.warn({ error: describeError(error) }, 'the DHT listens on another port');
      return await open({ ...dhtListen, port: 0 });
    }
  };
}

/** The secret in `--cluster-key-file`; the one of open clusters without. @throws CONFIG_INVALID */
export async function loadClusterKey(disk: Disk, path: string | undefined): Promise<string> {
  if (path === undefined) return NO_CLUSTER_KEY;
  const text = await disk.readText(path).catch((error: unknown) => {
    throw new DamselflyError('CONFIG_INVALID', `--cluster-key-file: ${describeError(error)}`);
  });
  const key = text?.trim() ?? '';
  if (key.length >= MIN_KEY_CHARS) return key;
  const why = text === undefined ? 'there is no such file' : `it has fewer than ${MIN_KEY_CHARS} characters`;
  throw new DamselflyError('CONFIG_INVALID', `--cluster-key-file ${path}: ${why}; try: openssl rand -hex 32`);
}

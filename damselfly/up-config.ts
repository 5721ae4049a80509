import { join } from 'node:path';
import { z } from 'zod';
import { type DaemonConfig, daemonConfig } from '../dfget/daemon/config.ts';
import { defaultDataDir } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { address } from '../lib/config/values.ts';
import { type SupernodeConfig, supernodeConfig } from '../supernode/config.ts';
import { DEFAULT_ADMIN, trackerConfig } from '../tracker/config.ts';

const node = daemonConfig.shape;
const supernode = supernodeConfig.shape;
const tracker = trackerConfig.shape;

/** Settings of `damselfly up`: those of the three processes that differ on one machine, under names that tell them apart. */
export const upConfig = z.object({
  upstream: node.upstream,
  offlineRegistry: node.offlineRegistry,
  authFile: node.authFile,
  defaultUpstream: node.defaultUpstream,
  staleIfError: node.staleIfError,
  tagsWhenDown: node.tagsWhenDown,
  proxyListen: node.proxyListen,
  proxyTlsCert: node.proxyTlsCert,
  proxyTlsKey: node.proxyTlsKey,
  proxyHost: node.proxyHost,
  plainProxy: node.plainProxy,
  forwardProxy: node.forwardProxy,
  forwardRule: node.forwardRule,
  peerListen: node.peerListen,
  adminListen: node.adminListen,
  adminTokenFile: node.adminTokenFile,
  socket: node.socket,
  drainTimeout: node.drainTimeout,
  supernodePeerListen: supernode.peerListen,
  supernodeAdminListen: supernode.adminListen,
  trackerListen: tracker.listen,
  trackerHttpListen: tracker.httpListen,
  liveToken: tracker.liveToken,
  btUdp: tracker.btUdp,
  btListen: node.btListen,
  btTracker: node.btTracker,
  btUploadRate: node.btUploadRate,
  trackerAdminListen: setting(address().default(DEFAULT_ADMIN), {
    argument: '<host:port>',
    help: `health and metrics of the tracker (default: ${DEFAULT_ADMIN.host}:${DEFAULT_ADMIN.port})`,
  }),
  preheatNodes: tracker.preheatNodes,
  apiKeyFile: tracker.apiKeyFile,
  dataDir: setting(z.string().min(1).default(defaultDataDir('')), {
    argument: '<folder>',
    help: `everything that is kept (default: ${defaultDataDir('')})`,
  }),
  storeMax: node.storeMax,
  storeHigh: node.storeHigh,
  storeLow: node.storeLow,
  storeTtl: node.storeTtl,
  cacheAfterPull: node.cacheAfterPull,
  containerdRoot: node.containerdRoot,
  prefetch: node.prefetch,
  verify: node.verify,
  scrubRate: node.scrubRate,
  bufferMemory: node.bufferMemory,
  uploadRate: node.uploadRate,
  downloadRate: node.downloadRate,
  registryRate: node.registryRate,
  maxConnections: node.maxConnections,
  sessionMax: supernode.sessionMax,
  background: node.background,
  advertise: node.advertise,
  zone: node.zone,
  zoneFile: node.zoneFile,
  zoneCidr: node.zoneCidr,
  label: node.label,
  logLevel: node.logLevel,
  otlpEndpoint: node.otlpEndpoint,
  insecure: node.insecure,
});

export type UpConfig = z.output<typeof upConfig>;

/** How the parts of one machine reach each other. */
export interface OwnCluster {
  /** Control URL of its tracker. */
  readonly tracker: string;
  /** Public URL of its tracker. */
  readonly enroll: string;
  /** That URL as other machines reach it. */
  readonly announce: string;
}

/** What its supernode is told. */
export function supernodeOf(config: UpConfig, cluster: OwnCluster): SupernodeConfig {
  return {
    ...config,
    ...partOf(cluster),
    // Once on one machine is enough: the node shares them.
    ...{ containerdRoot: undefined },
    peerListen: config.supernodePeerListen,
    adminListen: config.supernodeAdminListen,
    dataDir: [{ folder: join(config.dataDir, 'supernode'), weight: 1 }],
    advertise: config.advertise === undefined ? undefined : { host: config.advertise.host },
  };
}

/** What its node is told. */
export function daemonOf(config: UpConfig, cluster: OwnCluster): DaemonConfig {
  return {
    ...config,
    ...partOf(cluster),
    dataDir: [{ folder: join(config.dataDir, 'node'), weight: 1 }],
    upgrade: false,
    btTracker: config.btTracker.length > 0 ? config.btTracker : [cluster.announce],
  };
}

function partOf({ enroll, tracker }: OwnCluster) {
  return {
    tracker: [tracker],
    enroll: [enroll],
    // The tracker lives and dies with the others: they need no way around it.
    discovery: 'tracker' as const,
    bootstrap: [],
    dhtListen: { host: '0.0.0.0', port: 0 },
  };
}

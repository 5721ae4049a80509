import { join, resolve } from 'node:path';
import { joinAddress } from '../../lib/observe/admin-server.ts';
import type { RunningProcess } from '../../lib/runtime/system-process.ts';
import { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { openPeerHost, type PeerHost, type PeerHostDeps } from '../../lib/transfer/peer-host.ts';
import { stalePolicy } from '../../registry-proxy/last-known.ts';
import {
  createRegistryProxy,
  type RegistryProxy,
  type RegistryProxyConfig,
} from '../../registry-proxy/server.ts';
import type { DaemonStatus } from '../local-protocol.ts';
import type { DaemonConfig } from './config.ts';
import { startLocalApi } from './local-api.ts';
import { loadPause, type Pause } from './pause.ts';

/**
 * A node daemon: registry proxy, swarm peer and store on one machine.
 * @throws CONFIG_INVALID (also when an address cannot be listened on), STORE_*
 */
export async function createDaemon(deps: PeerHostDeps, config: DaemonConfig): Promise<RunningProcess> {
  const { clock, log } = deps;
  const { cacheAfterPull: cacheAfterPullMs, prefetch } = config;
  const habits = { cacheAfterPullMs, prefetch: prefetch === 'image' };
  const host = await openPeerHost(deps, config, 'node', (parts) => new PeerEngine(parts, {}, habits));
  try {
    const { engine, metrics, origin } = host;
    const only = config.upstream.length === 1 ? config.upstream[0]?.name : undefined;
    // A pattern stands for many.
    const defaultUpstream = config.defaultUpstream ?? (only?.includes('*') === true ? undefined : only);
    // The DHT is as good: settings go from member to member.
    const hasTracker = config.tracker.length > 0 || config.bootstrap.length > 0 || config.discovery === 'dht';
    const pause = await loadPause(
      { ...deps, metrics, discovery: host.discovery },
      { folder: host.stateFolder, upstreams: origin.upstreams, hasTracker },
    );
    host.addNotes(() => pause.paused.map((name) => `paused: pulls of ${name} go straight to the registry`));
    const proxy = await createRegistryProxy(
      { ...deps, origin, blobs: engine, metrics, isPaused: pause.isPaused },
      {
        listeners: config.proxyListen,
        stale: stalePolicy(config.staleIfError, config.tagsWhenDown),
        ...(defaultUpstream === undefined ? {} : { defaultUpstream }),
        ...forwardConfig(config, host.stateFolder),
      },
    );
    host.onClose(() => proxy.close());
    const status = (): DaemonStatus => describeDaemon(host, proxy, pause, config);
    const api = await startLocalApi({ blobs: engine, origin, pause, status, clock, log }, config.socket);
    host.onClose(() => api.close());
    const proxies = proxy.addresses.map((at, index) => ({
      upstream: config.proxyListen[index]?.upstream ?? null,
      address: joinAddress(at.host, at.port),
    }));
    const forward = proxy.forward && {
      address: joinAddress(proxy.forward.address.host, proxy.forward.address.port),
      ca: proxy.forward.certificateFile,
    };
    const { id } = host.self();
    const { adminAddress: admin, peerAddress: peer } = host;
    log.info({ id, proxies, peer, admin, socket: config.socket, trackers: config.tracker }, 'daemon runs');
    return {
      ready: {
        ...{ process: 'daemon', pid: process.pid, id, proxy: proxies, peer, admin, socket: config.socket },
        ...(forward === undefined ? {} : { forward }),
      },
      summary:
        `node ${id.slice(0, 8)}: registry mirror on http://${proxies.map(({ address }) => address).join(', http://')}\n` +
        (forward === undefined
          ? ''
          : `  forward proxy on http://${forward.address}, its clients must trust ${forward.ca}\n`) +
        `  peers on ${peer}, admin on http://${admin}, socket ${config.socket}`,
      close: () => host.close(),
    };
  } catch (error) {
    await host.close();
    throw error;
  }
}

function forwardConfig(
  { forwardProxy, forwardRule: rules }: DaemonConfig,
  stateFolder: string,
): Pick<RegistryProxyConfig, 'forward'> {
  return forwardProxy === undefined
    ? {}
    : { forward: { ...forwardProxy, rules, folder: join(stateFolder, 'forward-proxy') } };
}

/** What `dfget status` shows. */
function describeDaemon(
  host: PeerHost<PeerEngine>,
  proxy: RegistryProxy,
  pause: Pause,
  config: DaemonConfig,
): DaemonStatus {
  const stored = host.store.list().filter(({ borrowed }) => borrowed !== true);
  const { id, zone } = host.self();
  return {
    id,
    zone,
    upstreams: host.origin.upstreams,
    proxy: proxy.addresses.map((at, index) => {
      const upstream = config.proxyListen[index]?.upstream;
      return upstream === undefined ? at : { ...at, upstream };
    }),
    peer: host.peerAddress,
    admin: host.adminAddress,
    tracker: { reachable: host.foundBy() === 'tracker', urls: config.tracker },
    discovery: { mode: config.discovery, by: host.foundBy() },
    paused: pause.paused,
    pausedHere: pause.pausedHere,
    dataDir: resolve(host.stateFolder),
    store: {
      blobs: stored.length,
      complete: stored.filter((blob) => blob.complete).length,
      bytes: stored.reduce((sum, blob) => sum + blob.bytes, 0),
    },
    ...host.engine.status(),
  };
}

import { resolve } from 'node:path';
import { joinAddress } from '../../lib/observe/admin-server.ts';
import { plainNames } from '../../lib/origin/upstream.ts';
import type { RunningProcess } from '../../lib/runtime/system-process.ts';
import type { RegistryProxy } from '../../registry-proxy/server.ts';
import type { DaemonStatus } from '../local-protocol.ts';
import type { DaemonConfig } from './config.ts';
import type { Node } from './node.ts';

/** Where a daemon listens, for machines and for people. */
export function describeListeners(
  node: Node,
  proxy: RegistryProxy,
  { offlineRegistry, proxyListen, proxyTlsCert, socket }: DaemonConfig,
): Pick<RunningProcess, 'ready' | 'summary'> {
  const proxies = proxy.addresses.map((at, index) => ({
    upstream: proxyListen[index]?.upstream ?? null,
    address: joinAddress(at.host, at.port),
  }));
  const forward = proxy.forward && {
    address: joinAddress(proxy.forward.address.host, proxy.forward.address.port),
    ca: proxy.forward.certificateFile,
  };
  const { id } = node.self();
  const scheme = proxyTlsCert === undefined ? 'http' : 'https';
  const { adminAddress: admin, peerAddress: peer } = node;
  const also =
    forward && `  forward proxy on http://${forward.address}, its clients must trust ${forward.ca}\n`;
  const none = node.origin.upstreams.length + offlineRegistry.length === 0;
  const nothing = none ? '  of no registry yet: --upstream harbor.corp=https://harbor.corp names one\n' : '';
  return {
    ready: {
      ...{ process: 'daemon', pid: process.pid, id, proxy: proxies, peer, admin, socket },
      ...(forward === undefined ? {} : { forward }),
    },
    summary:
      `node ${id.slice(0, 8)}: registry mirror on ${proxies.map(({ address }) => `${scheme}://${address}`).join(', ')}\n` +
      `${nothing}${also ?? ''}  peers on ${peer}, admin on http://${admin}, socket ${socket}`,
  };
}

/** What `dfget status` shows. */
export function describeDaemon(node: Node, proxy: RegistryProxy, config: DaemonConfig): DaemonStatus {
  const stored = node.store.list().filter(({ borrowed }) => borrowed !== true);
  const { id, zone } = node.self();
  return {
    id,
    zone,
    upstreams: [...config.offlineRegistry, ...node.origin.upstreams],
    plainUpstreams: plainNames(config.upstream),
    proxy: proxy.addresses.map((at, index) => {
      const upstream = config.proxyListen[index]?.upstream;
      return upstream === undefined ? at : { ...at, upstream };
    }),
    peer: node.peerAddress,
    admin: node.adminAddress,
    cluster: node.credentials?.identity.cluster ?? null,
    tracker: {
      reachable: node.foundBy() === 'tracker',
      urls: config.tracker,
      each: node.preheat.questions.known,
    },
    discovery: { mode: config.discovery, by: node.foundBy() },
    paused: node.pause.paused,
    pausedHere: node.pause.pausedHere,
    dataDir: resolve(node.stateFolder),
    store: {
      blobs: stored.length,
      complete: stored.filter((blob) => blob.complete).length,
      bytes: stored.reduce((sum, blob) => sum + blob.bytes, 0),
    },
    ...node.engine.status(),
  };
}

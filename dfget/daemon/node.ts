import { join, resolve } from 'node:path';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import {
  type HostParts,
  openPeerHost,
  type PeerHost,
  type PeerHostDeps,
} from '../../lib/transfer/peer-host.ts';
import { Spool } from '../../lib/transfer/spool.ts';
import { type ClusterState, loadClusterState } from './cluster-state.ts';
import type { DaemonConfig } from './config.ts';
import { type ImportedImages, loadImportedImages } from './imported-images.ts';
import { loadPause, type Pause } from './pause.ts';

/** Of a daemon what only one process at a time can have: store, peer and admin port, its place in the cluster. */
export interface Node extends PeerHost<PeerEngine> {
  readonly pause: Pause;
  readonly cluster: ClusterState;
  readonly images: ImportedImages;
}

/** Whether there is somebody to tell what is meant for all. The DHT is as good: settings go from member to member. */
export function hasCluster({ bootstrap, discovery, tracker }: DaemonConfig): boolean {
  return tracker.length > 0 || bootstrap.length > 0 || discovery === 'dht';
}

/** @throws CONFIG_INVALID, STORE_* */
export async function openNode(deps: PeerHostDeps, config: DaemonConfig, parts: HostParts): Promise<Node> {
  const { cacheAfterPull: cacheAfterPullMs, dataDir, prefetch, verify } = config;
  const spool = new Spool(
    { ...deps, disk: createNodeDisk() },
    join(resolve(dataDir[0]?.folder ?? ''), 'spool'),
  );
  const wholeBlobs = verify === 'whole-blob' ? spool : undefined;
  const habits = { cacheAfterPullMs, prefetch: prefetch === 'image', wholeBlobs };
  const host = await openPeerHost(deps, config, 'node', (each) => new PeerEngine(each, {}, habits), parts);
  try {
    await wholeBlobs?.clear();
    const { discovery, metrics, origin, stateFolder: folder, store } = host;
    const cluster = await loadClusterState({ ...deps, discovery }, folder);
    const pause = await loadPause(
      { log: deps.log, metrics, cluster },
      {
        folder,
        upstreams: [...config.offlineRegistry, ...origin.upstreams],
        hasTracker: config.tracker.length > 0,
      },
    );
    const images = await loadImportedImages({ log: deps.log, store }, folder);
    host.addNotes(() => pause.paused.map((name) => `paused: pulls of ${name} go straight to the registry`));
    return Object.defineProperties(host, {
      pause: { value: pause },
      cluster: { value: cluster },
      images: { value: images },
    }) as Node;
  } catch (error) {
    await host.close();
    throw error;
  }
}

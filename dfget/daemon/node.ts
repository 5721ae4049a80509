import { join, resolve } from 'node:path';
import { DamselflyError } from '../../lib/core/errors.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import { Spool } from '../../lib/transfer/clients/spool.ts';
import type { HostParts, PeerHostDeps } from '../../lib/transfer/host-parts.ts';
import { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { openPeerHost, type PeerHost } from '../../lib/transfer/peer-host.ts';
import type { SignSettings } from '../cluster-changes.ts';
import { shareOptions } from '../torrent/share-options.ts';
import { Shares } from '../torrent/shares.ts';
import { type ClusterState, loadClusterState } from './cluster-state.ts';
import type { DaemonConfig } from './config.ts';
import { type ImportedImages, loadImportedImages } from './imported-images.ts';
import { loadPause, type Pause } from './pause.ts';

/** Of a daemon what only one process at a time can have: store, peer and admin port, its place in the cluster. */
export interface Node extends PeerHost<PeerEngine> {
  readonly pause: Pause;
  readonly cluster: ClusterState;
  readonly images: ImportedImages;
  readonly shares: Shares;
}

/** Whether there is somebody to tell what is meant for all. The DHT is as good: settings go from member to member. */
export function hasCluster({ bootstrap, discovery, tracker }: DaemonConfig): boolean {
  return tracker.length > 0 || bootstrap.length > 0 || discovery === 'dht';
}

export interface NodeDeps extends PeerHostDeps {
  /** Where the cluster's authority is beside the daemon: what is set for all is signed with it. */
  readonly signSettings?: SignSettings | undefined;
}

/** @throws CONFIG_INVALID, STORE_* */
export async function openNode(deps: NodeDeps, config: DaemonConfig, parts: HostParts): Promise<Node> {
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
    const cluster = await loadClusterState({ ...deps, discovery, sign: signerFor(deps) }, folder);
    const pause = await loadPause(
      { log: deps.log, metrics, cluster },
      {
        folder,
        upstreams: [...config.offlineRegistry, ...origin.upstreams],
        hasTracker: config.tracker.length > 0,
      },
    );
    host.preheat.obeyPause((upstream) => pause.isPaused(upstream));
    const images = await loadImportedImages({ log: deps.log, store }, folder);
    const owner = (): string => host.self().id;
    const { credentials } = deps;
    const shares = await Shares.open(
      { ...deps, metrics, owner, store },
      { folder, ...shareOptions(config, credentials !== undefined) },
    );
    host.onClose(() => shares.close());
    host.addNotes(() => pause.paused.map((name) => `paused: pulls of ${name} go straight to the registry`));
    return Object.defineProperties(host, {
      pause: { value: pause },
      cluster: { value: cluster },
      images: { value: images },
      shares: { value: shares },
    }) as Node;
  } catch (error) {
    await host.close();
    throw error;
  }
}

/** A node of a cluster with identities may set something for itself alone. */
function signerFor({ credentials, signSettings }: NodeDeps): SignSettings | undefined {
  if (credentials === undefined) return undefined;
  return signSettings ?? refuse;
}

function refuse(): never {
  const message =
    "only who holds the cluster's authority may set something for all nodes: say --tracker wss://HOST:8400 and --ca-dir FOLDER, where that is; dfget pause --this-node is for this one";
  throw new DamselflyError('IDENTITY_REFUSED', message, { reason: 'wrong-role' });
}

import type { Digest } from '../core/digest.ts';
import type { PeerInfo } from '../core/node.ts';
import type { Announcement } from './discovery.ts';

/** Remembered nodes that are named for a blob before the DHT knows better. */
const REMEMBERED_NODES = 4;

export interface RememberedAnswer {
  readonly digest: Digest;
  readonly peers: readonly PeerInfo[];
  readonly owned: boolean;
}

/** What a process remembers, and who it is. */
export interface Memory {
  readonly peer: PeerInfo;
  /** Supernodes that count as alive. */
  readonly supernodes: readonly PeerInfo[];
  /** Peers that were heard of before, the latest first. */
  readonly remembered: readonly PeerInfo[];
  /** Turn -> the supernode that reads in it. */
  readonly turns: (digest: Digest, size: number, supernodes: readonly PeerInfo[]) => readonly PeerInfo[];
}

/**
 * Who is named for blobs until the DHT knows better: the supernodes that owned them last, and nodes that were there last. A
 * supernode is told whose turn it is among those that it knows: one that was told nothing would read all, as each of the
 * others.
 */
export function rememberedAnswers(wanted: readonly Announcement[], memory: Memory): RememberedAnswer[] {
  const { peer, remembered, supernodes, turns } = memory;
  if (peer.role === 'supernode') {
    const others = supernodes.filter(({ id }) => id !== peer.id);
    if (others.length === 0) return [];
    const all = [peer, ...others];
    return wanted.map(({ digest, size }) => ({ digest, peers: turns(digest, size, all), owned: true }));
  }
  const nodes = remembered.filter(({ role }) => role === 'node').slice(0, REMEMBERED_NODES);
  return wanted.flatMap(({ digest, size }) => {
    const owners = [...new Set(turns(digest, size, supernodes))];
    const peers = [...owners, ...nodes];
    return peers.length === 0 ? [] : { digest, peers, owned: owners.length > 0 };
  });
}

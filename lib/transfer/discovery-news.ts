import type { PeerInfo } from '../core/node.ts';
import type { DiscoveryListener } from '../discovery/discovery.ts';
import type { Clock } from '../runtime/clock.ts';
import type { BlobTable } from './blobs/blob-table.ts';
import type { SharedBlob } from './blobs/shared-blob.ts';
import type { SmallBlobs } from './clients/small-blobs.ts';
import type { Announcements } from './peers/announcements.ts';

/** What a node makes of what discovery tells. */
export function discoveryNews(
  clock: Clock,
  {
    announcements,
    blobs,
    dial,
    introduce,
    smallBlobs,
  }: {
    readonly announcements: Announcements;
    readonly blobs: BlobTable;
    /** The peer cannot dial us. */
    readonly dial: (peer: PeerInfo) => void;
    /** The peer may share the blob, if we still do. */
    readonly introduce: (blob: SharedBlob | undefined, peer: PeerInfo) => void;
    readonly smallBlobs: SmallBlobs;
  },
): DiscoveryListener {
  return {
    neighbours: (digest, peers, owned) => {
      if (smallBlobs.named(digest, peers)) return;
      const blob = blobs.get(digest);
      const owners = peers.filter((peer) => peer.role === 'supernode').map((peer) => peer.id);
      if (blob !== undefined && owners.length > 0) blob.owners = new Set(owners);
      for (const peer of peers) blob?.chosen.add(peer.id);
      if (blob !== undefined) {
        blob.owned = owned;
        blob.answeredMs = clock.now();
        announcements.answered(blob);
      }
      for (const peer of peers) introduce(blob, peer);
    },
    dial,
    reachable: (reachable) => {
      if (reachable) announcements.connected(blobs.all());
    },
    supernodesChanged: () => announcements.supernodesChanged(blobs.all()),
  };
}

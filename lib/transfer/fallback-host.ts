import type { PeerInfo } from '../core/node.ts';
import type { PeerCore } from '../swarm/peer-core.ts';
import type { BlobTable } from './blob-table.ts';
import type { EngineDeps } from './engine-deps.ts';
import type { Neighbours } from './neighbours.ts';
import type { FallbackHost } from './registry-fallback.ts';
import type { SharedBlob } from './shared-blob.ts';

/** What the fallback of a node asks of its swarm. */
export function fallbackHost(
  { discovery, self }: Pick<EngineDeps, 'discovery' | 'self'>,
  {
    blobs,
    core,
    decide,
    introduce,
    neighbours,
  }: {
    readonly blobs: BlobTable;
    readonly core: PeerCore;
    /** One event for the core, whose decisions are then carried out. */
    readonly decide: (event: (core: PeerCore, now: number) => void) => void;
    /** The peer may share the blob. */
    readonly introduce: (blob: SharedBlob, peer: PeerInfo) => void;
    readonly neighbours: Neighbours;
  },
): FallbackHost {
  return {
    selfId: () => self().id,
    reserve: (blob, piece) => core.reserve(blob.slot, piece),
    unreserve: (blob, piece) => {
      if (!blob.retired) decide((swarm) => swarm.unreserve(blob.slot, piece));
    },
    obtained: (blob, piece) => {
      if (!blob.retired) decide((swarm, now) => swarm.obtained(blob.slot, piece, now));
    },
    inFlight: (blob) => core.inFlight(blob.slot),
    holders: (blob, piece) => core.holders(blob.slot, piece),
    sharers: (blob) => neighbours.all().filter((neighbour) => neighbour.sharesWithUs(blob.digest)),
    // One that does not even say who may have the blob reads nothing for us.
    supernodeExpected: ({ peerRight }) => peerRight === 'shown' && neighbours.supernodeExpected,
    answerOwed: (blob) => discovery.owes(blob.digest),
    seeded: ({ digest, owners, peerRight }) =>
      peerRight === 'shown' && [...owners].some((id) => neighbours.get(id)?.sharesWithUs(digest) === true),
    swarmMovedMs: (blob) => core.progressedAt(blob.slot),
    busyElsewhere: (blob) => core.freeDownloads === 0 && core.inFlight(blob.slot) === 0,
    introduce: (blob, peer) => {
      blob.chosen.add(peer.id);
      introduce(blob, peer);
    },
    clientsWait: () => blobs.all().some(({ readers, stored }) => readers > 0 && !stored.complete),
  };
}

import type { Digest } from '../../core/digest.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BlobTable } from '../blobs/blob-table.ts';
import { isGranted, type PeerRight, type SharedBlob } from '../blobs/shared-blob.ts';
import type { Conversation } from '../peers/conversation.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { CapabilityWalletHost } from './capability-wallet.ts';

/** Peers have had no chance yet: however long the client has waited, it counts as this, so that they have half a second. */
const HEAD_START_MS = 1500;

/** The swarm of a node, as its wallet sees it. */
export function walletHost(swarm: {
  readonly blobs: BlobTable;
  readonly neighbours: () => readonly Neighbour[];
  readonly conversation: () => Conversation;
  readonly clock: Clock;
}): CapabilityWalletHost {
  const { blobs, clock, conversation, neighbours } = swarm;
  const decided = (blob: SharedBlob, right: PeerRight): void => {
    blob.peerRight = right;
    if (!isGranted(right) || blob.stored.complete) return;
    blob.askedOfPeersMs = clock.now() - HEAD_START_MS;
    blob.lastProgressMs = Math.max(blob.lastProgressMs, blob.askedOfPeersMs);
    for (const neighbour of neighbours()) conversation().meet(neighbour, blob);
  };
  return {
    neighbours,
    decided,
    place: (digest: Digest) => blobs.get(digest)?.origin,
    reads: (digest: Digest) => {
      const blob = blobs.get(digest);
      return blob !== undefined && (blob.readers > 0 || blob.prefetched) ? blob.origin : undefined;
    },
    undecided: () => blobs.all().filter(({ peerRight }) => peerRight === 'late'),
    lapsed(digest) {
      const blob = blobs.get(digest);
      if (blob !== undefined && !blob.stored.complete) blob.peerRight = 'late';
    },
    granted(digest, right) {
      const blob = blobs.get(digest);
      if (blob !== undefined && blob.peerRight !== right) decided(blob, right);
    },
  };
}

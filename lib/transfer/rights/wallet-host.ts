import type { Digest } from '../../core/digest.ts';
import type { BlobTable } from '../blobs/blob-table.ts';
import { isGranted } from '../blobs/shared-blob.ts';
import type { Conversation } from '../peers/conversation.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { CapabilityWalletHost } from './capability-wallet.ts';

/** The swarm of a node, as its wallet sees it. */
export function walletHost(swarm: {
  readonly blobs: BlobTable;
  readonly neighbours: () => readonly Neighbour[];
  readonly conversation: () => Conversation;
}): CapabilityWalletHost {
  const { blobs, conversation, neighbours } = swarm;
  return {
    neighbours,
    place: (digest: Digest) => blobs.get(digest)?.origin,
    reads: (digest: Digest) => {
      const blob = blobs.get(digest);
      return blob !== undefined && blob.readers > 0 ? blob.origin : undefined;
    },
    undecided: () => blobs.all().filter(({ peerRight }) => peerRight === 'late'),
    lapsed(digest) {
      const blob = blobs.get(digest);
      if (blob !== undefined && !blob.stored.complete) blob.peerRight = 'late';
    },
    decided(blob, right) {
      blob.peerRight = right;
      if (!isGranted(right) || blob.stored.complete) return;
      for (const neighbour of neighbours()) conversation().meet(neighbour, blob);
    },
  };
}

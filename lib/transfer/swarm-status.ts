import type { Digest } from '../core/digest.ts';
import type { PeerInfo } from '../core/node.ts';
import type { SharedBlob } from './blobs/shared-blob.ts';
import type { Neighbour } from './peers/neighbour.ts';

/** What is going on in a node, for people. */
export interface SwarmStatus {
  readonly neighbours: readonly (PeerInfo & {
    /** It could not dial us when it last tried. */
    readonly cannotDialUs?: true;
  })[];
  readonly blobs: readonly {
    readonly digest: Digest;
    /** Bytes. */
    readonly size: number;
    readonly pieces: number;
    /** Pieces that are here. */
    readonly held: number;
    readonly readers: number;
    /** How long a client has waited for the next piece; 0 when none waits. */
    readonly waitingMs: number;
    /** Of the oldest pull under way, 1 = at its limit; null when there is none. */
    readonly efficiency: number | null;
  }[];
}

/** The links and blobs of a node as they are now. */
export function swarmStatus(
  links: { all(): readonly Neighbour[]; cannotDialUs(id: string): boolean },
  blobs: readonly SharedBlob[],
  reads: { efficiency(digest: Digest): number | null },
  nowMs: number,
): SwarmStatus {
  return {
    neighbours: links
      .all()
      .map(({ peer }) => (links.cannotDialUs(peer.id) ? { ...peer, cannotDialUs: true } : peer)),
    blobs: blobs.map(({ cursor, digest, info, readers, stored, waitingSinceMs }) => ({
      digest,
      size: info.size,
      pieces: info.pieces,
      held: stored.have.count,
      readers,
      waitingMs: readers === 0 || stored.have.has(cursor) ? 0 : nowMs - waitingSinceMs,
      efficiency: reads.efficiency(digest),
    })),
  };
}

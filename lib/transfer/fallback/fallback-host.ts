import type { PeerInfo } from '../../core/node.ts';
import type { PeerCore } from '../../swarm/peer-core.ts';
import type { BlobTable } from '../blobs/blob-table.ts';
import { isGranted, type SharedBlob } from '../blobs/shared-blob.ts';
import type { EngineDeps } from '../engine-deps.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { Neighbours } from '../peers/neighbours.ts';

/** What the fallback of a node asks of its swarm. */
export interface FallbackHost {
  selfId(): string;
  reserve(blob: SharedBlob, piece: number): boolean;
  letGo(blob: SharedBlob, piece: number): void;
  unreserve(blob: SharedBlob, piece: number): void;
  obtained(blob: SharedBlob, piece: number): void;
  /** Whether the piece is not here, and not on its way either. */
  wants(blob: SharedBlob, piece: number): boolean;
  inFlight(blob: SharedBlob): number;
  holders(blob: SharedBlob, piece: number): number;
  /** Those from whom it may be had, or soon. */
  sharers(blob: SharedBlob): readonly Neighbour[];
  supernodeExpected(blob: SharedBlob): boolean;
  /** A tracker that can be reached has yet to say who shares the blob. */
  answerOwed(blob: SharedBlob): boolean;
  /** A supernode that owns the blob is connected, and reads it for us. */
  seeded(blob: SharedBlob): boolean;
  /** When bytes of the blob last came from a peer, milliseconds. */
  swarmMovedMs(blob: SharedBlob): number;
  /** The same of any blob. */
  anyMovedMs(): number;
  /** Whether a client waits for it, and others would have what we read of it. */
  mayHedge(blob: SharedBlob): boolean;
  /** A supernode works on whether we may have what we have asked for. */
  supernodeSpeaks(): boolean;
  /** All download slots work for other blobs. */
  busyElsewhere(blob: SharedBlob): boolean;
  /** A client waits for pieces of any blob. */
  clientsWait(): boolean;
  /** The node holds, or is about to read, what we lack of the blob. */
  introduce(blob: SharedBlob, peer: PeerInfo): void;
}

/** The swarm of a node, as its fallback sees it. */
export function fallbackHost(
  { discovery, self }: Pick<EngineDeps, 'discovery' | 'self'>,
  {
    blobs,
    core,
    decide,
    introduce,
    neighbours,
    supernodeSpeaks,
  }: {
    readonly blobs: BlobTable;
    readonly core: PeerCore;
    /** One event for the core, whose decisions are then carried out. */
    readonly decide: (event: (core: PeerCore, now: number) => void) => void;
    /** The peer may share the blob. */
    readonly introduce: (blob: SharedBlob, peer: PeerInfo) => void;
    readonly neighbours: Neighbours;
    readonly supernodeSpeaks: () => boolean;
  },
): FallbackHost {
  const seeded = ({ digest, owners, peerRight }: SharedBlob): boolean =>
    peerRight === 'shown' && [...owners].some((id) => neighbours.get(id)?.sharesWithUs(digest) === true);
  return {
    selfId: () => self().id,
    reserve: (blob, piece) => core.reserve(blob.slot, piece),
    letGo: (blob, piece) => {
      if (!blob.retired) core.letGo(blob.slot, piece);
    },
    unreserve: (blob, piece) => {
      if (!blob.retired) decide((swarm) => swarm.unreserve(blob.slot, piece));
    },
    obtained: (blob, piece) => {
      if (!blob.retired) decide((swarm, now) => swarm.obtained(blob.slot, piece, now));
    },
    wants: (blob, piece) => core.wants(blob.slot, piece),
    inFlight: (blob) => core.inFlight(blob.slot),
    holders: (blob, piece) => core.holders(blob.slot, piece),
    sharers: (blob) => neighbours.all().filter((each) => !each.distrusted && each.sharesWithUs(blob.digest)),
    // One that does not even say who may have the blob reads nothing for us.
    supernodeExpected: ({ peerRight }) => peerRight === 'shown' && neighbours.supernodeExpected,
    answerOwed: (blob) => discovery.owes(blob.digest),
    seeded,
    supernodeSpeaks,
    mayHedge(blob) {
      // Nobody takes from us what we may not have ourselves yet: each of a crowd would read all of it.
      if (blob.readers === 0 || blob.passing !== undefined || !isGranted(blob.peerRight)) return false;
      // Where nobody takes from anybody, each that hedges would read all of it.
      return !neighbours.hasDistrusted || !seeded(blob);
    },
    swarmMovedMs: (blob) => core.progressedAt(blob.slot),
    anyMovedMs: () => Math.max(...blobs.all().map(({ slot }) => core.progressedAt(slot))),
    busyElsewhere: (blob) => core.freeDownloads === 0 && core.inFlight(blob.slot) === 0,
    introduce: (blob, peer) => {
      blob.chosen.add(peer.id);
      introduce(blob, peer);
    },
    clientsWait: () => blobs.all().some(({ readers, stored }) => readers > 0 && !stored.complete),
  };
}

import type { ClusterSettings } from '../../lib/core/cluster-settings.ts';
import type { Digest } from '../../lib/core/digest.ts';
import type { LeaseAnswer, LeaseWish } from '../../lib/core/lease.ts';
import type { BlobAnnouncement } from '../../lib/wire/control-messages.ts';

/**
 * What the trackers of a cluster know in common: who shares which blob, which supernodes there are, who may read what
 * from the registries, and the settings of the cluster. Answers to announcements always come from the tracker's own
 * core; a store brings into it what members told other trackers, and tells those what members told this one.
 */
export interface PeerStore {
  /** Begins. */
  start(host: PeerStoreHost): void;
  /** A member of this tracker shares the blob. */
  announced(id: string, digest: Digest, have: BlobAnnouncement['have']): void;
  /** It is about to share these no more: others may read what it did. */
  withdrawn(id: string, digests: readonly Digest[]): void;
  /** It is gone; the core is about to hear of it. */
  left(id: string): void;
  /** May the member read one of these stripes from its registry? Never rejects. */
  lease(id: string, wish: LeaseWish): Promise<LeaseAnswer>;
  renewLease(id: string, token: number): Promise<LeaseAnswer>;
  releaseLease(id: string, token: number, read: boolean): void;
  tellSettings(settings: ClusterSettings): void;
  /** A member has come to this address of this machine: where others reach it. @returns to be called when it has gone */
  reachedAt(address: string | undefined): () => void;
  /** For `/readyz`: what is wrong with it now. */
  readonly notes: readonly string[];
  /** Other trackers stop counting on what this one told. A second call is harmless. */
  close(): Promise<void>;
}

/** What a store needs of the tracker, besides its core. */
export interface PeerStoreHost {
  /** Whether the member has a connection to this tracker. */
  isConnected(id: string): boolean;
  /** Members with a connection to this tracker. */
  readonly connected: number;
  /** Members of other trackers share the blob too: ours that lack it should hear of them. */
  found(digest: Digest): void;
  /** Other trackers' supernodes came or went: the core knows. */
  supernodesChanged(): void;
  /** Whether whoever has set these may: everybody who reaches the store can put some there. */
  obeys(settings: ClusterSettings): boolean;
  /** Another tracker was told these. */
  toldSettings(settings: ClusterSettings): void;
}

import type { ClusterSettings } from '../core/cluster-settings.ts';
import type { Digest } from '../core/digest.ts';
import type { PeerInfo } from '../core/node.ts';
import type { Leases } from './leases.ts';

/** What a process tells about one blob when it joins its swarm. */
export interface Announcement {
  readonly digest: Digest;
  readonly size: number;
  /** `none` wants all, `some` holds verified pieces, `all` seeds. */
  readonly have: 'none' | 'some' | 'all';
  /**
   * No progress with the neighbours it has: give it others, and the owning supernode. True of the moment, and not
   * repeated when the connection comes back.
   */
  readonly stalled?: boolean;
}

/**
 * Who else shares a blob. Fire and forget: announcements are repeated by the implementation whenever its connection
 * comes back, and neighbours arrive as events, first as the answer to an announcement and later as others join.
 */
export interface Discovery {
  /** Joins, or updates, the swarms of these blobs, in one message. */
  announce(announcements: readonly Announcement[]): void;
  withdraw(digests: readonly Digest[]): void;
  /** The peer could not be dialled: who is in touch with it has it dial us. Nothing happens when nobody is. */
  unreached(peer: PeerInfo): void;
  /** A peer of which that was said has been dialled after all. */
  reached(peer: PeerInfo): void;
  /** The supernode that owns the blob, as far as is known without asking anybody. */
  owner(digest: Digest): PeerInfo | undefined;
  /** Supernodes that live, or lived when somebody last told. */
  readonly supernodes: readonly PeerInfo[];
  /** Sets the only listener. */
  listen(listener: DiscoveryListener): void;
  /** Whether an answer can be expected now. */
  readonly reachable: boolean;
  /** Whether the answer to an announcement of this blob is still to come, from a tracker that can be reached. */
  owes(digest: Digest): boolean;
  /** Who may read from the registry what the swarm does not deliver. */
  readonly leases: Leases;
  /** The newest settings of the cluster that were shared or heard of. */
  readonly settings: ClusterSettings | undefined;
  /**
   * Tells every tracker, now or when it is there again, for as long as nothing newer is heard of. Does nothing when
   * something newer is known.
   */
  shareSettings(settings: ClusterSettings): void;
  /**
   * Sets the only listener. Called at once when some are known, and whenever a tracker says what the newest settings
   * are: with news, and with what was shared here as its receipt.
   */
  listenSettings(listener: (settings: ClusterSettings) => void): void;
  close(): Promise<void>;
}

export interface DiscoveryListener {
  /**
   * The answer to every announcement of a blob that is incomplete, and later news. Peers to connect to for this blob,
   * supernodes that own it first; may be nobody. A supernode is told who reads in which turn (lib/swarm/stripes.ts), the
   * process itself and repetitions included.
   * @param owned whether there is a supernode that owns it, among the peers or not
   */
  neighbours(digest: Digest, peers: readonly PeerInfo[], owned: boolean): void;
  /** A tracker became reachable, or the last one stopped being so. */
  reachable(reachable: boolean): void;
  /** A peer that cannot dial us waits for us to dial it. */
  dial?(peer: PeerInfo): void;
  /** Supernodes came or went. What is incomplete is announced again by itself, but not at once. */
  supernodesChanged?(): void;
}

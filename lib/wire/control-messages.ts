import type { ClusterSettings } from '../core/cluster-settings.ts';
import type { Digest } from '../core/digest.ts';
import type { LEASE_REFUSALS } from '../core/lease.ts';
import type { PeerInfo } from '../core/node.ts';
import type { PreheatMessage } from './preheat-messages.ts';
import type { ReportMessage, WatchMessage } from './report-messages.ts';

/** Highest version of the control protocol that this build speaks. */
export const CONTROL_PROTOCOL_VERSION = 1;

/** Path of the control WebSocket on a tracker's control port. */
export const CONTROL_PATH = '/control';

/** Largest text of one control message, in bytes; both sides refuse more before they parse it. */
export const MAX_CONTROL_BYTES = 1024 * 1024;

/** Most blobs in one announce, withdraw or neighbours message. */
export const MAX_BLOBS_PER_MESSAGE = 1000;

/** Most neighbours of one blob in one message: three times what a tracker hands out. */
export const MAX_NEIGHBOURS_PER_BLOB = 64;

/** Most different peers in one neighbours message; keeps it below {@link MAX_CONTROL_BYTES} at the longest names. */
export const MAX_PEERS_PER_MESSAGE = 2000;

/** Most upstreams paused one by one; with the longest names well below {@link MAX_CONTROL_BYTES}. */
export const MAX_PAUSED = 256;

/** Longest name of an upstream: a DNS name, its port, and what a pattern adds. */
export const MAX_UPSTREAM_CHARS = 300;

/** Most rules of cluster settings, and values in each; with the longest of them well below {@link MAX_CONTROL_BYTES}. */
export const MAX_SETTINGS_RULES = 64;
export const MAX_SETTINGS_VALUES = 32;
export const MAX_SETTING_CHARS = 128;
/** Most stripes in one wish for a lease. */
export const MAX_STRIPES = 64;

/** Longest that a lease may last, or a member be told to wait, milliseconds. */
export const MAX_LEASE_MS = 60_000;

/** Most holders named to who is refused a lease. */
export const MAX_HOLDERS = 16;

/** What a member tells about one blob; the same shape as an announcement of lib/discovery. */
export interface BlobAnnouncement {
  readonly digest: Digest;
  /** Whole blob, bytes. */
  readonly size: number;
  readonly have: 'none' | 'some' | 'all';
  readonly stalled?: boolean;
}

/** Peers to connect to for one blob, the supernodes that own it first. */
export interface BlobNeighbours {
  readonly digest: Digest;
  readonly peers: readonly PeerInfo[];
  /** A supernode that is there owns the blob, whether or not it is among the peers. */
  readonly owned?: true;
}

/**
 * Control between a member (node or supernode) and its tracker: JSON text messages on one WebSocket that the member
 * dials. The member says hello first, the tracker answers welcome; either side then speaks when it has something to
 * say, and the member sends a heartbeat every `heartbeatMs` that the tracker answers.
 */
export type ControlMessage =
  /** Member to tracker, first message. An empty `peer.host` stands for the address the tracker sees. */
  | {
      readonly type: 'hello';
      /** Highest protocol version that the member speaks. */
      readonly protocol: number;
      readonly peer: PeerInfo;
      /** The member's idea of cluster time, milliseconds since the epoch. */
      readonly clusterTimeMs: number;
      /** Proof of who it is; absent until identities exist. */
      readonly identity?: string;
    }
  /** Tracker to member, answer to hello. */
  | {
      readonly type: 'welcome';
      /** The version both speak from now on. */
      readonly protocol: number;
      /** Random for each start of a tracker: a new one knows nothing of what was announced to the last. */
      readonly trackerId: string;
      readonly clusterTimeMs: number;
      /** Number of the current set of supernodes. */
      readonly epoch: number;
      /** That set, in no order: who owns a blob among them follows by rendezvous hashing. */
      readonly supernodes?: readonly PeerInfo[];
      /** The member sends something at least this often; silence of three times as much ends the connection. */
      readonly heartbeatMs: number;
      /** Where the member is, by its address, when it has named no zone. */
      readonly zone?: string;
      /** The newest that any member has told this tracker; a member that knows newer ones tells it. */
      readonly settings?: ClusterSettings;
    }
  /** Member to tracker: I share these blobs. Answered by neighbours. */
  | { readonly type: 'announce'; readonly blobs: readonly BlobAnnouncement[] }
  /** Member to tracker: I no longer share these. */
  | { readonly type: 'withdraw'; readonly digests: readonly Digest[] }
  /** Tracker to member. */
  | { readonly type: 'neighbours'; readonly blobs: readonly BlobNeighbours[] }
  /** Tracker to member: the set of supernodes changed, announce again what is incomplete. */
  | { readonly type: 'epoch'; readonly epoch: number; readonly supernodes?: readonly PeerInfo[] }
  /** Member to tracker: I could not dial these. */
  | { readonly type: 'unreached'; readonly ids: readonly string[] }
  /** Member to tracker: I have dialled these after all. */
  | { readonly type: 'reached'; readonly ids: readonly string[] }
  /** Tracker to member: these cannot dial you, dial them. */
  | { readonly type: 'dial'; readonly peers: readonly PeerInfo[] }
  /**
   * Member to tracker: set these, unless newer ones are known. Tracker to all members, who said it too: they are the
   * newest.
   */
  | ({ readonly type: 'settings' } & ClusterSettings)
  /**
   * Member to tracker: may I read one of these stripes from the registry? `aside`: although others do. Answered by leased
   * or lease-refused with the same `ask`, a number of the member's. See lib/core/lease.ts.
   */
  | {
      readonly type: 'lease';
      readonly ask: number;
      readonly digest: Digest;
      readonly upstream: string;
      readonly stripes: readonly number[];
      readonly aside?: true;
    }
  /** Member to tracker: the read makes progress. Answered as lease is. */
  | { readonly type: 'renew'; readonly ask: number; readonly token: number }
  /** Member to tracker: the read has ended; `read`: nothing of the stripe is left to read. */
  | { readonly type: 'release'; readonly token: number; readonly read?: true }
  /** Tracker to member. */
  | {
      readonly type: 'leased';
      readonly ask: number;
      readonly stripe: number;
      readonly token: number;
      readonly ttlMs: number;
      /** The tracker's card and its warrant for the holder; none in answer to renew. */
      readonly warrant?: readonly string[];
    }
  | {
      readonly type: 'lease-refused';
      readonly ask: number;
      readonly reason: (typeof LEASE_REFUSALS)[number];
      readonly retryMs: number;
      readonly holders: readonly PeerInfo[];
    }
  /**
   * Tracker to member, behind the welcome and whenever there is news: what the cluster's authority has signed for
   * everybody. `rotation`: how another one takes its place; `revocations`: which members and certificates count no more.
   */
  | { readonly type: 'trust'; readonly rotation?: string; readonly revocations?: string }
  /** Tracker to member, and what it answers for a while: see report-messages.ts. */
  | WatchMessage
  | ReportMessage
  | { readonly type: 'heartbeat' }
  | PreheatMessage;

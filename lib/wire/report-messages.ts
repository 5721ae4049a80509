import type { Cause } from '../observe/where-time-went.ts';

/** Most blobs, senders and bans in one report. */
export const MAX_REPORT_BLOBS = 64;
export const MAX_REPORT_SENDERS = 32;
export const MAX_REPORT_BANS = 32;
/** Shortest and longest time between reports, and longest that a member reports without being asked again, milliseconds. */
export const MIN_REPORT_MS = 500;
export const MAX_REPORT_MS = 60_000;
export const MAX_WATCH_MS = 300_000;

/** Tracker to member: somebody watches. Report every `everyMs`, for `forMs` from now on. */
export interface WatchMessage {
  readonly type: 'watch';
  readonly everyMs: number;
  readonly forMs: number;
  /** The tracker knows nothing of this member yet: the next report tells everything. */
  readonly fresh?: true;
}

/** Bytes as in the member's metrics, since its start. */
export interface ReportedBytes {
  /** `damselfly_received_bytes_total` by source. */
  readonly origin: number;
  readonly supernode: number;
  readonly peer: number;
  readonly archive: number;
  readonly objectStore: number;
  /** `damselfly_sent_bytes_total` by receiver. */
  readonly toPeers: number;
  readonly toClients: number;
}

/** A blob that the member shares. */
export interface ReportedBlob {
  /** The member's number for it on this connection. */
  readonly handle: number;
  /** Told the first time. */
  readonly digest?: string;
  readonly size?: number;
  readonly pieces?: number;
  /** Pieces that are here. */
  readonly held: number;
  /** Clients reading it. */
  readonly readers: number;
}

/** Member to tracker, while somebody watches. Blobs that are as they were, and what is not news, is left out. */
export interface ReportMessage {
  readonly type: 'report';
  /** Forget what this member told before; with its version. */
  readonly fresh?: true;
  readonly version?: string;
  readonly bytes: ReportedBytes;
  readonly blobs: readonly ReportedBlob[];
  /** Handles of blobs that it shares no more. */
  readonly gone: readonly number[];
  /** Id of a peer -> bytes that it sent since the last report; those that sent most. */
  readonly from: readonly (readonly [string, number])[];
  /** What clients waited for longest since the last report: `ms` of `ofMs`. */
  readonly slow?: { readonly cause: Cause; readonly on?: string; readonly ms: number; readonly ofMs: number };
  /** Peers that it speaks to no more. */
  readonly bans: readonly { readonly peer: string; readonly reason: string }[];
}

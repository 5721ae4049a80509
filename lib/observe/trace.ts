import type { Digest } from '../core/digest.ts';
import type { PeerInfo } from '../core/node.ts';
import type { Source } from './metrics.ts';

/** How a piece came, as far as is known; clock times of the process, milliseconds. */
export interface PieceWay {
  /** Id of the peer that sent it. */
  readonly from?: string;
  /** When somebody who is linked to us first had it. */
  readonly knownMs?: number;
  /** When it was asked for. */
  readonly askedMs?: number;
  /** When its last byte had come; hash and disk follow. */
  readonly arrivedMs?: number;
}

/** How one client's read of a blob came to its end. */
export interface PullEnd {
  readonly kind: 'pull-end';
  readonly pull: number;
  readonly digest: Digest;
  readonly outcome: 'complete' | 'cut';
  /** Bytes that the client was given; those that were here already; those that came past the swarm for this client alone. */
  readonly sentBytes: number;
  readonly hereBytes: number;
  readonly directBytes: number;
  readonly firstByteMs?: number;
  /** Time that the client took to take what it was given. */
  readonly clientMs: number;
  /** The shortest time that it could have taken, what set that, and at which rate: see PullMeter. */
  readonly limitMs: number;
  readonly limitBy: PullLimit;
  readonly limitBytesPerSecond: number;
}

/** What a pull cannot be faster than: all that the node ever received, what it read of a registry, its own client. */
export type PullLimit = 'received' | 'registry' | 'client';

/** The client had to wait for this piece since then; for a piece that was here, it was the digest of the whole blob. */
export interface Waited {
  readonly kind: 'waited';
  readonly pull: number;
  readonly digest: Digest;
  readonly index: number;
  readonly sinceMs: number;
}

export interface PieceEvent extends PieceWay {
  readonly kind: 'piece';
  readonly digest: Digest;
  readonly index: number;
  readonly source: Source;
  readonly bytes: number;
  /** The read of a registry that it comes from. */
  readonly generation: string;
}

/** A client begins to read a blob. */
export interface PullBegin {
  readonly kind: 'pull';
  readonly pull: number;
  readonly digest: Digest;
  /** Of the whole blob, bytes. */
  readonly size: number;
  /** When the client asked; between that and the event its right to read was found out. */
  readonly askedMs: number;
}

/**
 * What happened in the swarm, as facts in order: for `dfget explain`, the tracker's live page, tests that compare whole
 * runs, and bench. Kept apart from the log, which is for people. docs/TRACE.md describes the lines.
 */
export type TraceEvent =
  | ({ readonly kind: 'link-up'; readonly peer: string } & Omit<PeerInfo, 'id'>)
  | { readonly kind: 'link-down'; readonly peer: string }
  | { readonly kind: 'ban'; readonly peer: string; readonly reason: string }
  | { readonly kind: 'blob-open'; readonly digest: Digest; readonly held: number; readonly pieces: number }
  | PieceEvent
  | {
      readonly kind: 'piece-rejected';
      readonly digest: Digest;
      readonly index: number;
      readonly from: string;
    }
  | { readonly kind: 'blob-complete'; readonly digest: Digest }
  | { readonly kind: 'blob-failed'; readonly digest: Digest; readonly code: string }
  | { readonly kind: 'fallback'; readonly digest: Digest; readonly reason: string }
  | PullBegin
  | Waited
  | PullEnd;

/** Receives each event with the process's clock time in milliseconds. */
export type Trace = (atMs: number, event: TraceEvent) => void;

/** An event as it is kept and written, one JSON object a line. */
export type TraceLine = TraceEvent & { readonly atMs: number };

/** The first line of a written trace. */
export interface TraceHead {
  readonly kind: 'trace';
  /** The process: its id, role and version. */
  readonly id: string;
  readonly role: string;
  readonly version: string;
  /** Its clock when this was written, and the same moment in milliseconds since the epoch. */
  readonly nowMs: number;
  readonly wallMs: number;
  /** Events that are gone because newer ones took their place. */
  readonly lost: number;
}

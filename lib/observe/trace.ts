import type { Digest } from '../core/digest.ts';
import type { Source } from './metrics.ts';

/**
 * What happened in the swarm, as facts in order: for tests that compare whole runs, for bench and later for `explain`.
 * Kept apart from the log, which is for people.
 */
export type TraceEvent =
  | { readonly kind: 'link-up' | 'link-down'; readonly peer: string }
  | { readonly kind: 'blob-open'; readonly digest: Digest; readonly held: number; readonly pieces: number }
  | {
      readonly kind: 'piece';
      readonly digest: Digest;
      readonly index: number;
      readonly source: Source;
      readonly from?: string;
    }
  | {
      readonly kind: 'piece-rejected';
      readonly digest: Digest;
      readonly index: number;
      readonly from: string;
    }
  | { readonly kind: 'blob-complete'; readonly digest: Digest }
  | { readonly kind: 'blob-failed'; readonly digest: Digest; readonly code: string }
  | { readonly kind: 'fallback'; readonly digest: Digest; readonly reason: string };

/** Receives each event with the process's clock time in milliseconds. */
export type Trace = (atMs: number, event: TraceEvent) => void;

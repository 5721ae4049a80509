import type { Spool } from './clients/spool.ts';

/** What a node does with blobs before and after its clients read them. */
export interface NodeHabits {
  /** So long a blob stays in the store after the last client's read of it; 0 = until nobody reads it. @default forever */
  readonly cacheAfterPullMs?: number | undefined;
  /** Whether the blobs of a manifest are fetched as soon as a client has been given it. @default no */
  readonly prefetch?: boolean | undefined;
  /**
   * No client gets a byte of a blob before all of it has matched its digest. What comes past the store waits here until
   * then. @default bytes are handed out as soon as their piece is verified
   */
  readonly wholeBlobs?: Spool | undefined;
}

import type { LeaseAnswer, LeaseRef, LeaseWish } from '../core/lease.ts';

/** Who waits for a lease has a client that waits: a tracker that needs longer is as good as none. */
export const LEASE_ANSWER_MS = 500;

/** Leases on reads of the registry, from the tracker that the blob (or, to step aside, the upstream) belongs to. */
export interface Leases {
  /** @returns undefined when no tracker can be reached or answers within {@link LEASE_ANSWER_MS}: go by local rules */
  ask(wish: LeaseWish): Promise<LeaseAnswer | undefined>;
  /** The read makes progress. @returns as ask does, for the same stripe and token */
  renew(lease: LeaseRef): Promise<LeaseAnswer | undefined>;
  /** The read has ended. @param read whether nothing of the stripe is left to read */
  release(lease: LeaseRef, read: boolean): void;
}

/** No tracker, no leases. */
export const NO_LEASES: Leases = {
  ask: async () => undefined,
  renew: async () => undefined,
  release() {},
};

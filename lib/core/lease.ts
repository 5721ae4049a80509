import type { Digest } from './digest.ts';
import type { PeerInfo } from './node.ts';

/** What a node asks for before it reads a part of a blob from the registry for everybody. */
export interface LeaseWish {
  readonly digest: Digest;
  /** Name of the registry. */
  readonly upstream: string;
  /** Stripes (lib/swarm/stripes.ts), any one of them, the dearest first. */
  readonly stripes: readonly number[];
  /**
   * False: nobody else may read the stripe meanwhile. True: others may, because what they read does not come; only so
   * many nodes at a time may do that to one registry.
   */
  readonly aside: boolean;
}

/** A lease as its holder names it. */
export interface LeaseRef extends Pick<LeaseWish, 'digest' | 'upstream' | 'aside'> {
  /** Grows with every lease that is granted: of two for one stripe, the one with the larger number holds. */
  readonly token: number;
}

/**
 * `held`: others read all of these stripes; `read`: they have been read, whoever did it still shares them; `crowded`:
 * as many as may have stepped aside; `lost`: the lease has run out, or is somebody else's.
 */
export const LEASE_REFUSALS = ['held', 'read', 'crowded', 'lost'] as const;

/** @typeParam Holder how it names who holds leases: a tracker's table by their ids, on the wire as peers */
export type LeaseAnswer<Holder = PeerInfo> =
  | {
      readonly kind: 'granted';
      readonly stripe: number;
      readonly token: number;
      /** It runs out so long after it was asked for, milliseconds, unless it is renewed. */
      readonly ttlMs: number;
      /** The tracker's card and its warrant, by which others believe the holder: lib/security/read-warrant.ts. */
      readonly warrant?: readonly string[];
    }
  | {
      readonly kind: 'refused';
      readonly reason: (typeof LEASE_REFUSALS)[number];
      /** Asking again before that is of no use, milliseconds. */
      readonly retryMs: number;
      /** Who reads the stripes, or has read them. */
      readonly holders: readonly Holder[];
    };

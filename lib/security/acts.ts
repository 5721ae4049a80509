import { MEMBER_ROLES, type MemberRole } from './identity.ts';

/**
 * What processes of a cluster do to each other, and whose certificate lets them. Every connection is checked against
 * one of these, in both directions. What is for the holder of the authority alone (settings of the cluster,
 * revocations, a new authority) carries a signature of its own, whoever passes it on.
 */
export const ACTS = {
  /** Dials a tracker: announces blobs, asks who shares them and for leases. */
  announce: ['node', 'supernode'],
  /** Is dialled for that: names neighbours, grants leases, pushes what the authority has signed. */
  coordinate: ['tracker'],
  /** Gives others their certificates. */
  certify: ['tracker'],
  /** Asks for its own next certificate. */
  renew: MEMBER_ROLES,
  /** Dials peers and is dialled by them: pieces, links, the DHT. */
  share: ['node', 'supernode'],
  /** Reads blobs for everybody: is named as their owner, and is sent the credentials of callers. */
  own: ['supernode'],
} as const satisfies Readonly<Record<string, readonly MemberRole[]>>;

export type Act = keyof typeof ACTS;

/** Whether members of a role may do it. */
export function may(role: MemberRole, act: Act): boolean {
  return (ACTS[act] as readonly MemberRole[]).includes(role);
}

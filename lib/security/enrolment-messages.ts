/** What a process and a tracker say to each other when one enrols, over HTTPS on the tracker's public port. */

/**
 * `GET`: certificates of the authorities that count, PEM, the one that issues first. For everybody: who holds a token
 * knows the fingerprint of one.
 */
export const CA_PATH = '/v1/ca';
/** `GET`: {@link TrustNews} as JSON. For everybody: the authority has signed it, and keeps no secrets in it. */
export const TRUST_PATH = '/v1/trust';
/** `POST {request, token, zone}`: become a member. */
export const ENROLL_PATH = '/v1/enroll';
/** `POST {request, zone}` with a member's certificate: the next one, for the same key, role and name. */
export const RENEW_PATH = '/v1/renew';

/** The answer to both. */
export interface Enrolled {
  /** PEM. */
  readonly certificate: string;
  /** PEM; several while one takes the place of another. */
  readonly authority: string;
  /** Milliseconds since the epoch. */
  readonly clusterTimeMs: number;
}

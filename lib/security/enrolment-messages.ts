/** What a process and a tracker say to each other when one enrols, over HTTPS on the tracker's public port. */

/** `GET`: the authority's certificate, PEM. For everybody: who holds a token knows its fingerprint. */
export const CA_PATH = '/v1/ca';
/** `POST {request, token, zone}`: become a member. */
export const ENROLL_PATH = '/v1/enroll';
/** `POST {request, zone}` with a member's certificate: the next one, for the same key, role and name. */
export const RENEW_PATH = '/v1/renew';

/** The answer to both. */
export interface Enrolled {
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly authority: string;
  /** Milliseconds since the epoch. */
  readonly clusterTimeMs: number;
}

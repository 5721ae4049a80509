import { z } from 'zod';
import type { TrustNews } from './trust.ts';

/** What a process and a tracker say to each other when one enrols, over HTTPS on the tracker's public port. */

/** The last moment that a Date can be. */
const MAX_TIME_MS = 8.64e15;
const news = z.object({ rotation: z.string().exactOptional(), revocations: z.string().exactOptional() });
const enrolled = z.object({
  certificate: z.string(),
  authority: z.string(),
  clusterTimeMs: z.number().min(0).max(MAX_TIME_MS),
});
const refusal = z.object({
  code: z.literal('IDENTITY_REFUSED'),
  message: z.string(),
  facts: z.object({ reason: z.string() }),
});

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

/** Undefined for what no tracker answers. */
export function parseEnrolled(text: string): Enrolled | undefined {
  return enrolled.safeParse(parseJson(text)).data;
}

/** None for what no tracker answers. */
export function parseNews(text: string): TrustNews {
  return news.safeParse(parseJson(text)).data ?? {};
}

/** Undefined for what is no refusal. */
export function parseRefusal(
  text: string,
): { readonly message: string; readonly reason: string } | undefined {
  const told = refusal.safeParse(parseJson(text)).data;
  return told && { message: told.message, reason: told.facts.reason };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

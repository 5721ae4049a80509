import { z } from 'zod';
import { type Digest, isBlobKey, isDigest } from '../core/digest.ts';
import { isTraceparent } from '../core/traceparent.ts';

/** A node asks a supernode for a capability: what the blobs are that it wants, and how the registry may be asked. */
export type CapabilityQuestion =
  | {
      readonly upstream: string;
      readonly repository: string;
      /** The caller's Authorization. A secret, for one question to the registry. */
      readonly authorization?: string;
      readonly traceparent?: string;
      /** The blobs are those that it lists; its own bytes are asked for too. */
      readonly manifest: Digest;
    }
  | {
      readonly upstream: string;
      readonly repository: string;
      readonly authorization?: string;
      readonly traceparent?: string;
      readonly blob: Digest;
    }
  /** The same for longer: the blobs as in the capability that is about to expire. */
  | { readonly renew: string; readonly digests: readonly Digest[] };

/** The right to some blobs. */
export interface GivenCapability {
  readonly capability: string;
  /** Of the supernode that signed it: lib/security/signer-card.ts. */
  readonly card: string;
  readonly digests: readonly Digest[];
  /** Cluster time, milliseconds since the epoch. */
  readonly untilMs: number;
  /** How long that is from now on, whatever the reader takes the time to be; old supernodes do not say it. */
  readonly leftMs?: number;
}

/** The registry said yes. */
export interface CapabilityAnswer {
  /** Absent for a manifest that lists no blobs, or too many. */
  readonly given?: GivenCapability;
  /** The manifest that was asked for: base64. */
  readonly manifest?: { readonly bytes: string; readonly mediaType: string };
  /** Of the blob that was asked for, bytes. */
  readonly size?: number;
}

/** A renewal with the longest list. */
export const MAX_CAPABILITY_QUESTION_BYTES = 128 * 1024;
/** A manifest of 4 MiB, as base64, and a capability. */
export const MAX_CAPABILITY_ANSWER_BYTES = 6 * 1024 * 1024;
const MAX_NAME_CHARS = 1024;
const MAX_AUTHORIZATION_CHARS = 16 * 1024;
const MAX_DIGESTS = 512;
const MAX_TEXT_CHARS = 16 * 1024;

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value));
/** A file at a URL has one of its own. */
const key = z.custom<Digest>((value) => typeof value === 'string' && isBlobKey(value));
const place = {
  upstream: z.string().min(1).max(MAX_NAME_CHARS),
  repository: z.string().min(1).max(MAX_NAME_CHARS),
  authorization: z.string().max(MAX_AUTHORIZATION_CHARS).exactOptional(),
  traceparent: z.string().refine(isTraceparent).exactOptional(),
};
const question = z.union([
  z.object({ ...place, manifest: digest }),
  z.object({ ...place, blob: key }),
  z.object({ renew: z.string().max(MAX_TEXT_CHARS), digests: z.array(key).min(1).max(MAX_DIGESTS) }),
]);
/** A capability as it is shown to others. */
export const shownCapability = z.object({
  capability: z.string().max(MAX_TEXT_CHARS),
  card: z.string().max(MAX_TEXT_CHARS),
  digests: z.array(key).min(1).max(MAX_DIGESTS),
});
const answer = z.object({
  given: z
    .object({
      ...shownCapability.shape,
      untilMs: z.number().min(0),
      leftMs: z.number().min(0).exactOptional(),
    })
    .exactOptional(),
  manifest: z
    .object({ bytes: z.string().max(MAX_CAPABILITY_ANSWER_BYTES), mediaType: z.string().max(MAX_NAME_CHARS) })
    .exactOptional(),
  size: z.int().min(0).exactOptional(),
});

/** @returns undefined when the text is no question within the limits */
export function decodeCapabilityQuestion(text: string): CapabilityQuestion | undefined {
  return read(question, text);
}

/** @returns undefined when the text is no answer within the limits */
export function decodeCapabilityAnswer(text: string): CapabilityAnswer | undefined {
  return read(answer, text);
}

function read<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

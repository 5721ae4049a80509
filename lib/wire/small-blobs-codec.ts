import { z } from 'zod';
import { type Digest, isDigest } from '../core/digest.ts';
import { MIN_PIECE_BYTES } from '../core/geometry.ts';
import type { BlobOrigin } from '../core/node.ts';
import { isTraceparent } from '../core/traceparent.ts';
import { type GivenCapability, shownCapability } from './capability-codec.ts';

/** A blob of at most so many bytes is one piece, and travels whole in the answer to one question. */
export const SMALL_BLOB_BYTES = MIN_PIECE_BYTES;
/** Most blobs in one question, and most bytes that they may have together. */
export const MAX_SMALL_BLOBS = 64;
export const MAX_SMALL_ANSWER_BYTES = 1024 * 1024;
/** Largest question: the longest names, the longest Authorization and the longest capability fit. */
export const MAX_SMALL_QUESTION_BYTES = 128 * 1024;

/** A blob as the asker knows it: bytes of any other length would not be it. */
export interface SmallBlob {
  readonly digest: Digest;
  /** 1 to {@link SMALL_BLOB_BYTES}. */
  readonly size: number;
}

export interface SmallBlobsQuestion {
  readonly blobs: readonly SmallBlob[];
  /** Where the blobs can be read: told only to the supernode that owns them. */
  readonly origin?: BlobOrigin;
  /** The asker's right to them. */
  readonly capability?: ShownCapability;
}

/** A capability, the card of the supernode that signed it, and the blobs that it is for. */
export type ShownCapability = Pick<GivenCapability, 'capability' | 'card' | 'digests'>;

const MAX_NAME_CHARS = 1024;
const MAX_AUTHORIZATION_CHARS = 16 * 1024;

const question = z.object({
  blobs: z
    .array(
      z.object({
        digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)),
        size: z.int().min(1).max(SMALL_BLOB_BYTES),
      }),
    )
    .min(1)
    .max(MAX_SMALL_BLOBS)
    .refine((blobs) => bytesOf(blobs) <= MAX_SMALL_ANSWER_BYTES),
  origin: z
    .object({
      upstream: z.string().max(MAX_NAME_CHARS),
      repository: z.string().max(MAX_NAME_CHARS),
      authorization: z.string().max(MAX_AUTHORIZATION_CHARS).exactOptional(),
      traceparent: z.string().refine(isTraceparent).exactOptional(),
    })
    .exactOptional(),
  capability: shownCapability.exactOptional(),
});

/** Bytes of an answer that has all of the blobs. */
export function bytesOf(blobs: readonly SmallBlob[]): number {
  return blobs.reduce((sum, { size }) => sum + size, 0);
}

export function encodeSmallQuestion({ blobs, capability, origin }: SmallBlobsQuestion): string {
  const named = blobs.map(({ digest, size }) => ({ digest, size }));
  const shown =
    capability === undefined
      ? undefined
      : { capability: capability.capability, card: capability.card, digests: capability.digests };
  return JSON.stringify({ blobs: named, origin, capability: shown });
}

/** @returns undefined when the text is no question within the limits */
export function decodeSmallQuestion(text: string): SmallBlobsQuestion | undefined {
  try {
    return question.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** What of the blobs an answer holds, in the order of the question: `1` for each that is there, `0` for the others. */
export function encodeHeld(answer: readonly (Uint8Array | undefined)[]): string {
  return answer.map((bytes) => (bytes === undefined ? '0' : '1')).join('');
}

/**
 * Takes an answer apart.
 * @param held as {@link encodeHeld} gave it
 * @returns undefined when it does not fit the question
 */
export function splitAnswer(
  blobs: readonly SmallBlob[],
  held: string,
  body: Uint8Array,
): (Uint8Array | undefined)[] | undefined {
  if (held.length !== blobs.length || /[^01]/.test(held)) return undefined;
  const here = blobs.filter((_, index) => held[index] === '1');
  if (body.length !== bytesOf(here)) return undefined;
  let at = 0;
  return blobs.map(({ size }, index) => {
    if (held[index] === '0') return undefined;
    at += size;
    return body.subarray(at - size, at);
  });
}

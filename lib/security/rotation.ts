import { type KeyObject, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { clusterOf } from './cluster-authority.ts';
import { isSignedBy, signText, splitSignedText } from './signed-text.ts';

/**
 * How a cluster goes over to a new authority, signed by the old one. First both are believed and the old one issues;
 * from `issueAtMs` on the new one issues, and members have their certificates renewed; from `dropAtMs` on the old one is
 * believed no more.
 */
export interface Rotation {
  /** PEM. */
  readonly old: string;
  /** PEM. */
  readonly next: string;
  /** Cluster time, milliseconds since the epoch. */
  readonly issueAtMs: number;
  readonly dropAtMs: number;
}

export type RotationPhase = 'announced' | 'issuing' | 'done';

const PREFIX = 'dfrotation1';
/** Two certificates of some 700 bytes each. */
const MAX_ROTATION_CHARS = 16_384;

const time = z.int().min(0).max(8.64e15);
const certificate = z.string().max(4096);
const schema = z.strictObject({ old: certificate, next: certificate, issueAtMs: time, dropAtMs: time });

export function phaseOf({ dropAtMs, issueAtMs }: Rotation, nowMs: number): RotationPhase {
  if (nowMs >= dropAtMs) return 'done';
  return nowMs >= issueAtMs ? 'issuing' : 'announced';
}

export function signRotation({ dropAtMs, issueAtMs, next, old }: Rotation, oldKey: KeyObject): string {
  return signText(PREFIX, Buffer.from(JSON.stringify({ old, next, issueAtMs, dropAtMs })), oldKey);
}

/**
 * Undefined for anything that none of the authorities who are believed has signed as its own replacement.
 * @param believed PEM, one certificate each
 */
export function readRotation(text: string, believed: readonly string[]): Rotation | undefined {
  const signed = splitSignedText(PREFIX, text, MAX_ROTATION_CHARS);
  if (signed === undefined) return undefined;
  try {
    const rotation = schema.parse(JSON.parse(signed.payload.toString()));
    const [old, next] = [new X509Certificate(rotation.old), new X509Certificate(rotation.next)];
    const isKnown = believed.some((pem) => new X509Certificate(pem).raw.equals(old.raw));
    const sameCluster = clusterOf(next) !== undefined && clusterOf(next) === clusterOf(old);
    const counts =
      isKnown &&
      next.ca &&
      sameCluster &&
      rotation.dropAtMs >= rotation.issueAtMs &&
      !next.raw.equals(old.raw);
    return counts && isSignedBy(PREFIX, signed, old.publicKey) ? rotation : undefined;
  } catch {
    // Whatever it is, the authority would not have signed it.
    return undefined;
  }
}

/**
 * Who is believed while, and after, one authority takes the place of another: the old one not any more when it is
 * dropped.
 * @param believed PEM, one certificate each
 */
export function believedDuring(
  believed: readonly string[],
  rotation: Rotation | undefined,
  nowMs: number,
): readonly string[] {
  if (
    rotation === undefined ||
    !believed.some((pem) => isSame(pem, rotation.old) || isSame(pem, rotation.next))
  ) {
    return believed;
  }
  const others = believed.filter((pem) => !isSame(pem, rotation.old) && !isSame(pem, rotation.next));
  const both = phaseOf(rotation, nowMs) === 'done' ? [rotation.next] : [rotation.next, rotation.old];
  return [...both, ...others];
}

/** The certificates in a PEM text, one text each. */
export function certificatesIn(pem: string | Buffer): readonly string[] {
  return (pem.toString().match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (text) => `${text}\n`,
  );
}

function isSame(pem: string, other: string): boolean {
  return pem === other || new X509Certificate(pem).raw.equals(new X509Certificate(other).raw);
}

import { type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { DamselflyError } from '../core/errors.ts';
import type { ClusterAuthority } from './cluster-authority.ts';
import { isSignedBy, type SignedText, signText, splitSignedText } from './signed-text.ts';

/**
 * What lets standard BitTorrent clients announce to the cluster's trackers, for whatever its nodes share: signed by the
 * cluster's authority, so that a tracker keeps no list of them. It is a word that fits into the path of a URL.
 */
export interface AnnouncePasskey {
  /** Cluster time, milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** Names it in logs and revocation lists: 16 hex digits. */
  readonly id: string;
}

/** Clocks of the cluster may differ by so much. */
const CLOCK_TOLERANCE_MS = 30_000;
const PREFIX = 'dfannounce1';
/** Expiry in milliseconds 6, id 8. */
const PAYLOAD_BYTES = 14;
/** It has 118. */
const MAX_CHARS = 160;

export function createAnnouncePasskey(authority: ClusterAuthority, expiresAtMs: number): string {
  const payload = Buffer.alloc(PAYLOAD_BYTES);
  payload.writeUIntBE(expiresAtMs, 0, 6);
  randomBytes(8).copy(payload, 6);
  return signText(PREFIX, payload, authority.key);
}

/** What it says, whoever signed it. @throws CONFIG_INVALID when it is none, without repeating it */
export function readAnnouncePasskey(text: string): AnnouncePasskey {
  const signed = parse(text);
  if (signed !== undefined) return fieldsOf(signed);
  const message = 'not a passkey; `damselfly token create --bittorrent` makes one';
  throw new DamselflyError('CONFIG_INVALID', message);
}

/**
 * Whether it counts now.
 * @param revoked ids that do not any more
 */
export function isPasskeyInForce(
  text: string,
  {
    authorities,
    clusterTimeMs,
    revoked,
  }: {
    readonly authorities: readonly KeyObject[];
    readonly clusterTimeMs: number;
    readonly revoked: readonly string[];
  },
): boolean {
  const signed = parse(text);
  if (signed === undefined) return false;
  const { expiresAtMs, id } = fieldsOf(signed);
  if (clusterTimeMs > expiresAtMs + CLOCK_TOLERANCE_MS || revoked.includes(id)) return false;
  return authorities.some((key) => isSignedBy(PREFIX, signed, key));
}

/** Keys of the certificates in a PEM text. */
export function keysOfAuthorities(pem: string | Buffer): KeyObject[] {
  const certificates = pem.toString().match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  return (certificates ?? []).map((text) => new X509Certificate(text).publicKey);
}

function parse(text: string): SignedText | undefined {
  const signed = splitSignedText(PREFIX, text, MAX_CHARS);
  return signed?.payload.length === PAYLOAD_BYTES ? signed : undefined;
}

function fieldsOf({ payload }: SignedText): AnnouncePasskey {
  return { expiresAtMs: payload.readUIntBE(0, 6), id: payload.toString('hex', 6) };
}

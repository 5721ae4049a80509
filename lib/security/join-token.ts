import { randomBytes } from 'node:crypto';
import { DamselflyError } from '../core/errors.ts';
import type { ClusterAuthority } from './cluster-authority.ts';
import { CLOCK_TOLERANCE_MS } from './cluster-time.ts';
import { MEMBER_ROLES, type MemberRole } from './identity.ts';
import { isSignedBy, type SignedText, signText, splitSignedText } from './signed-text.ts';

/**
 * What lets a process become a member: signed by the cluster's authority, so that a tracker keeps no list of them, and
 * with the fingerprint of the authority, so that its holder knows the right cluster. A secret until it expires.
 */
export interface JoinToken {
  readonly role: MemberRole;
  /** Cluster time, milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** Names the token in logs: 16 hex digits. */
  readonly id: string;
  /** SHA-256 of the authority's certificate, 32 bytes. */
  readonly authority: Buffer;
}

const PREFIX = 'dfjoin1';
/** Role 1, expiry in milliseconds 6, id 8, fingerprint 32. */
const PAYLOAD_BYTES = 47;
/** A token has 161 characters. */
const MAX_CHARS = 256;

export function createJoinToken(
  authority: ClusterAuthority,
  { role, expiresAtMs }: { readonly role: MemberRole; readonly expiresAtMs: number },
): string {
  const payload = Buffer.alloc(PAYLOAD_BYTES);
  payload.writeUInt8(MEMBER_ROLES.indexOf(role), 0);
  payload.writeUIntBE(expiresAtMs, 1, 6);
  randomBytes(8).copy(payload, 7);
  authority.fingerprint.copy(payload, 15);
  return signText(PREFIX, payload, authority.key);
}

/**
 * What a token says, which its holder believes: whoever gave it is trusted.
 * @throws CONFIG_INVALID when it is none, without repeating it
 */
export function readJoinToken(text: string): JoinToken {
  const read = parse(text);
  if (read === undefined) {
    throw new DamselflyError('CONFIG_INVALID', 'not a join token; `damselfly token create` makes one');
  }
  return read.token;
}

/**
 * Checks a token that somebody shows.
 * @param clusterTimeMs milliseconds since the epoch
 * @throws IDENTITY_REFUSED, `facts.reason` says why: malformed, other-cluster, forged or expired
 */
export function verifyJoinToken(authority: ClusterAuthority, text: string, clusterTimeMs: number): JoinToken {
  const read = parse(text);
  if (read === undefined) throw refused('malformed', 'this is no join token');
  const { signed, token } = read;
  const signer = authority.trusted.find(({ fingerprint }) => token.authority.equals(fingerprint));
  if (signer === undefined) {
    throw refused(
      'other-cluster',
      'the join token is for another cluster, or for an older authority of this one',
    );
  }
  if (!isSignedBy(PREFIX, signed, signer.publicKey)) {
    throw refused('forged', "the join token was not signed by this cluster's authority");
  }
  if (clusterTimeMs > token.expiresAtMs + CLOCK_TOLERANCE_MS) {
    throw refused('expired', 'the join token has expired; `damselfly token create` makes a new one');
  }
  return token;
}

function parse(text: string): { readonly token: JoinToken; readonly signed: SignedText } | undefined {
  const signed = splitSignedText(PREFIX, text.trim(), MAX_CHARS);
  if (signed === undefined || signed.payload.length !== PAYLOAD_BYTES) return undefined;
  const { payload } = signed;
  const role = MEMBER_ROLES[payload.readUInt8(0)];
  if (role === undefined) return undefined;
  const token = {
    role,
    expiresAtMs: payload.readUIntBE(1, 6),
    id: payload.toString('hex', 7, 15),
    authority: payload.subarray(15),
  };
  return { token, signed };
}

function refused(reason: string, message: string): DamselflyError {
  return new DamselflyError('IDENTITY_REFUSED', message, { reason });
}

import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  type X509Certificate,
} from 'node:crypto';
import { DamselflyError } from '../core/errors.ts';
import type { ClusterAuthority } from './cluster-authority.ts';
import { isIdentityZone, type MemberIdentity, type MemberRole } from './identity.ts';
import { verifyJoinToken } from './join-token.ts';
import { identityOf } from './member.ts';
import { isRevoked, type RevocationList } from './revocation-list.ts';
import { algorithmOf, loadX509, publicKeyOf, signingKeyOf } from './x509.ts';

/** A request for a key of 4,096 bits of RSA has 1,700 characters; ours have 300. */
const MAX_REQUEST_CHARS = 4096;

/**
 * A new key for a member. Ed25519 for those who sign what they vouch for; a tracker's is P-256, because browsers and
 * BitTorrent clients take nothing newer.
 */
export function createMemberKey(role: MemberRole): KeyObject {
  return role === 'tracker'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    : generateKeyPairSync('ed25519').privateKey;
}

/** 40 hex digits that follow from the public key: nobody can take another's name without its key. */
export function memberNameOf(publicKey: KeyObject): string {
  const bytes = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(bytes).digest('hex').slice(0, 40);
}

/** A certificate request (PKCS#10) for a private key: proves that the sender holds it. PEM. */
export async function createCertificateRequest(key: KeyObject): Promise<string> {
  const x509 = await loadX509();
  const publicKey = createPublicKey(key);
  const made = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name([{ CN: [memberNameOf(publicKey)] }]).toString(),
    keys: { privateKey: await signingKeyOf(key), publicKey: await publicKeyOf(publicKey) },
    signingAlgorithm: algorithmOf(key),
  });
  return `${made.toString('pem')}\n`;
}

/**
 * The key of a certificate request whose signature is right; whatever else it asks for is not looked at.
 * @throws IDENTITY_REFUSED
 */
export async function readCertificateRequest(pem: string): Promise<KeyObject> {
  const problem = 'not a certificate request (PKCS#10, PEM) for a P-256 or Ed25519 key, signed with that key';
  const refused = new DamselflyError('IDENTITY_REFUSED', problem, { reason: 'malformed' });
  if (pem.length > MAX_REQUEST_CHARS) throw refused;
  const x509 = await loadX509();
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    const key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), type: 'spki', format: 'der' });
    algorithmOf(key);
    if (await request.verify()) return key;
  } catch {
    // Told below: what others sent is not worth repeating.
  }
  throw refused;
}

/**
 * Makes the holder of a join token a member: its role is the token's, its name follows from its key.
 * @param nowMs cluster time, milliseconds since the epoch
 * @throws IDENTITY_REFUSED
 */
export async function enrol(
  authority: ClusterAuthority,
  asked: {
    readonly request: string;
    readonly token: string;
    readonly zone: string;
    readonly revoked: RevocationList;
  },
  nowMs: number,
): Promise<{ readonly certificate: string; readonly identity: MemberIdentity; readonly tokenId: string }> {
  const { id: tokenId, role } = verifyJoinToken(authority, asked.token, nowMs);
  const publicKey = await readCertificateRequest(asked.request);
  const name = memberNameOf(publicKey);
  if (isRevoked(asked.revoked, role, name)) {
    throw new DamselflyError('IDENTITY_REFUSED', `${role}/${name} was revoked`, { reason: 'revoked' });
  }
  const zone = isIdentityZone(asked.zone) ? asked.zone : '';
  const identity = { cluster: authority.cluster, role, name, zone };
  return { certificate: await authority.issue({ identity, publicKey, nowMs }), identity, tokenId };
}

/**
 * The next certificate of a member: for the same key, role and name.
 * @param asked.member the certificate it has shown, which its connection has proved to be its own
 * @param nowMs cluster time, milliseconds since the epoch
 * @throws IDENTITY_REFUSED
 */
export async function renew(
  authority: ClusterAuthority,
  asked: { readonly member: X509Certificate; readonly request: string; readonly zone: string },
  nowMs: number,
): Promise<{ readonly certificate: string; readonly identity: MemberIdentity }> {
  const publicKey = await readCertificateRequest(asked.request);
  const before = identityOf(asked.member);
  if (before?.cluster !== authority.cluster || !asked.member.publicKey.equals(publicKey)) {
    throw new DamselflyError('IDENTITY_REFUSED', 'a certificate is renewed for its own key alone', {
      reason: 'wrong-key',
    });
  }
  const identity = { ...before, zone: isIdentityZone(asked.zone) ? asked.zone : '' };
  return { certificate: await authority.issue({ identity, publicKey, nowMs }), identity };
}

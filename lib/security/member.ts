import type { X509Certificate } from 'node:crypto';
import { CLOCK_TOLERANCE_MS } from './cluster-time.ts';
import { type MemberIdentity, type MemberRole, parseIdentity, uriNames } from './identity.ts';
import { isRevoked, type RevocationList } from './revocation-list.ts';

/** Why a certificate that TLS accepted is not enough. */
export type MemberRefusal =
  | 'no-certificate'
  | 'no-identity'
  | 'other-cluster'
  | 'wrong-role'
  | 'revoked'
  | 'expired';

export type MemberCheck =
  | { readonly kind: 'member'; readonly identity: MemberIdentity }
  | { readonly kind: 'refused'; readonly reason: MemberRefusal };

/** Of a certificate what is looked at here. */
export type ShownCertificate = Pick<X509Certificate, 'subjectAltName' | 'serialNumber' | 'validToDate'>;

/** Who a certificate is for; undefined when its names are not those of one member. Says nothing of who issued it. */
export function identityOf(certificate: Pick<X509Certificate, 'subjectAltName'>): MemberIdentity | undefined {
  const [uri = '', ...more] = uriNames(certificate);
  return more.length > 0 ? undefined : parseIdentity(uri);
}

/**
 * Whether the holder of a certificate may do what members of these roles do. That the certificate is of the cluster's
 * authority TLS has checked before.
 * @param wanted.nowMs cluster time, milliseconds since the epoch: a connection may outlive the certificate it began with
 */
export function checkMember(
  certificate: ShownCertificate | undefined,
  wanted: {
    readonly cluster: string;
    readonly roles: readonly MemberRole[];
    readonly revoked: RevocationList;
    readonly nowMs: number;
  },
): MemberCheck {
  if (certificate === undefined) return { kind: 'refused', reason: 'no-certificate' };
  const identity = identityOf(certificate);
  if (identity === undefined) return { kind: 'refused', reason: 'no-identity' };
  const { cluster, name, role } = identity;
  if (cluster !== wanted.cluster) return { kind: 'refused', reason: 'other-cluster' };
  if (!wanted.roles.includes(role)) return { kind: 'refused', reason: 'wrong-role' };
  const serial = certificate.serialNumber.toLowerCase();
  if (wanted.revoked.serials.includes(serial) || isRevoked(wanted.revoked, role, name)) {
    return { kind: 'refused', reason: 'revoked' };
  }
  if (certificate.validToDate.getTime() + CLOCK_TOLERANCE_MS < wanted.nowMs) {
    return { kind: 'refused', reason: 'expired' };
  }
  return { kind: 'member', identity };
}

import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import type { Credentials } from './credentials.ts';
import type { MemberIdentity, MemberRole } from './identity.ts';
import type { MemberRefusal } from './member.ts';
import { certificatesIn } from './rotation.ts';

/** What a member says, so that who hears it from others can check who said it. */
export interface Statement {
  /** Of the member, PEM; its intermediate authorities behind it, where there are any. */
  readonly certificate: string;
  /** base64url */
  readonly signature: string;
}

export type SpeakerCheck =
  | { readonly kind: 'member'; readonly identity: MemberIdentity; readonly certificate: X509Certificate }
  | { readonly kind: 'refused'; readonly reason: MemberRefusal | 'forged' };

/** Certificates between a member's and an authority's that are looked at. */
const MAX_CHAIN = 4;

/**
 * Says something in the name of this process.
 * @param about what kind of thing: said as one thing it cannot be shown as another
 */
export function stateAs({ keys }: Credentials, about: string, what: string): Statement {
  const key = createPrivateKey(keys.key);
  const signature = sign(hashFor(key), bytesOf(about, what), { key, dsaEncoding: 'ieee-p1363' });
  return { certificate: keys.cert.toString(), signature: signature.toString('base64url') };
}

/**
 * Who has said it: a member of our cluster with one of these roles, or why not.
 * @param wanted.atMs when it was said, cluster time; the certificate has to have counted then. @default now
 */
export function speakerOf(
  credentials: Credentials,
  { certificate: pem, signature }: Statement,
  wanted: {
    readonly about: string;
    readonly what: string;
    readonly roles: readonly MemberRole[];
    readonly atMs?: number;
  },
): SpeakerCheck {
  try {
    const chain = certificatesIn(pem)
      .slice(0, MAX_CHAIN)
      .map((text) => new X509Certificate(text));
    const [certificate] = chain;
    if (certificate === undefined) return { kind: 'refused', reason: 'no-certificate' };
    if (!isIssued(chain, credentials.keys.ca)) return { kind: 'refused', reason: 'other-cluster' };
    const key = certificate.publicKey;
    const bytes = Buffer.from(signature, 'base64url');
    const by = { key, dsaEncoding: 'ieee-p1363' } as const;
    if (!verify(hashFor(key), bytesOf(wanted.about, wanted.what), by, bytes)) {
      return { kind: 'refused', reason: 'forged' };
    }
    const checked = credentials.check(certificate, wanted.roles, wanted.atMs);
    return checked.kind === 'member' ? { ...checked, certificate } : checked;
  } catch {
    // Whatever it is, it is no certificate, or has a key of no kind that a member has.
    return { kind: 'refused', reason: 'forged' };
  }
}

/** Whether one of the authorities vouches for the first certificate, were it by way of the others. */
export function isIssued(chain: readonly X509Certificate[], ca: string | Buffer): boolean {
  const roots = certificatesIn(ca).map((pem) => new X509Certificate(pem));
  for (const [index, certificate] of chain.entries()) {
    if (roots.some((root) => isIssuedBy(certificate, root))) return true;
    const above = chain[index + 1];
    if (above === undefined || !above.ca || !isIssuedBy(certificate, above)) return false;
  }
  return false;
}

function isIssuedBy(certificate: X509Certificate, by: X509Certificate): boolean {
  return certificate.checkIssued(by) && certificate.verify(by.publicKey);
}

function hashFor(key: KeyObject): string | null {
  return key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
}

function bytesOf(about: string, what: string): Buffer {
  return Buffer.from(`damselfly ${about}\n${what}`);
}

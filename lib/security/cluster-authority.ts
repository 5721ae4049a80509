import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from 'node:crypto';
import { DamselflyError } from '../core/errors.ts';
import { formatIdentity, isClusterName, type MemberIdentity, uriNames } from './identity.ts';
import { algorithmOf, loadX509, publicKeyOf, signingKeyOf } from './x509.ts';

/** Certificate and key, PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export const HOUR_MS = 60 * 60_000;
/** A certificate that leaks is worth this much time; members renew it by themselves. */
const MEMBER_LIFE_MS = 24 * HOUR_MS;
/** Clocks of members that are wrong by less make no difference. */
const BACKDATED_MS = HOUR_MS;
const AUTHORITY_LIFE_MS = 10 * 365 * 24 * HOUR_MS;

/** What the holder of the cluster's key can do. */
export interface ClusterAuthority {
  readonly cluster: string;
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 of the certificate, which join tokens pin: 32 bytes. */
  readonly fingerprint: Buffer;
  /** Signs tokens and revocation lists. */
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
  /**
   * A certificate for a member of this cluster, valid for {@link MEMBER_LIFE_MS}. PEM.
   * @param member.hostNames DNS names by which clients that look at names reach it
   */
  issue(member: {
    readonly identity: MemberIdentity;
    readonly publicKey: KeyObject;
    readonly hostNames?: readonly string[];
    readonly nowMs: number;
  }): Promise<string>;
}

/** A new authority. Its key is P-256, which every TLS library takes. @throws CONFIG_INVALID for a name that is none */
export async function createClusterAuthority(options: {
  readonly cluster: string;
  readonly nowMs: number;
}): Promise<KeyPair> {
  const { cluster, nowMs } = options;
  if (!isClusterName(cluster)) {
    const message = `not a cluster name: ${JSON.stringify(cluster)}; use lower-case letters, digits, dots and dashes`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  const x509 = await loadX509();
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = `CN=Damselfly cluster ${cluster}`;
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: name,
    issuer: name,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + AUTHORITY_LIFE_MS),
    publicKey: await publicKeyOf(publicKey),
    signingKey: await signingKeyOf(key),
    signingAlgorithm: algorithmOf(key),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${cluster}` }]),
      await x509.SubjectKeyIdentifierExtension.create(await publicKeyOf(publicKey)),
    ],
  });
  return {
    certificate: `${made.toString('pem')}\n`,
    key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** @throws CONFIG_INVALID when they are not an authority of a cluster, or do not belong together */
export function openClusterAuthority(pair: KeyPair): ClusterAuthority {
  const { certificate, key } = readPair(pair);
  const cluster = clusterOf(certificate);
  if (!certificate.ca || cluster === undefined || !certificate.checkPrivateKey(key)) throw unusable();
  return {
    cluster,
    certificate: pair.certificate,
    fingerprint: fingerprintOf(certificate),
    key,
    publicKey: certificate.publicKey,
    issue: (member) => issue({ certificate, key }, member),
  };
}

/** SHA-256 of a certificate, 32 bytes. */
export function fingerprintOf(certificate: X509Certificate): Buffer {
  return Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex');
}

/** The cluster whose authority this is: the one URI name of its certificate is the trust domain. */
function clusterOf(certificate: X509Certificate): string | undefined {
  const [name = '', ...more] = uriNames(certificate);
  const cluster = /^spiffe:\/\/([^/]+)$/.exec(name)?.[1];
  return more.length === 0 && cluster !== undefined && isClusterName(cluster) ? cluster : undefined;
}

function readPair({ certificate, key }: KeyPair): { certificate: X509Certificate; key: KeyObject } {
  try {
    return { certificate: new X509Certificate(certificate), key: createPrivateKey(key) };
  } catch {
    // Without what was wrong with a secret.
    throw unusable();
  }
}

function unusable(): DamselflyError {
  return new DamselflyError(
    'CONFIG_INVALID',
    'not an authority of a cluster: certificate and key must be a pair as `damselfly ca init` makes it',
  );
}

async function issue(
  { certificate, key }: { readonly certificate: X509Certificate; readonly key: KeyObject },
  member: Parameters<ClusterAuthority['issue']>[0],
): Promise<string> {
  const { hostNames = [], identity, nowMs, publicKey } = member;
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(certificate.raw);
  const names = [
    { type: 'url' as const, value: formatIdentity(identity) },
    ...hostNames.map((value) => ({ type: 'dns' as const, value })),
  ];
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: new x509.Name([{ CN: [identity.name] }]).toString(),
    issuer: issuer.subject,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(Math.min(nowMs + MEMBER_LIFE_MS, certificate.validToDate.getTime())),
    publicKey: await publicKeyOf(publicKey),
    signingKey: await signingKeyOf(key),
    signingAlgorithm: algorithmOf(key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return `${made.toString('pem')}\n`;
}

/** 16 random bytes as hex, the first between 0x40 and 0x7f: positive, and always of the same length. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

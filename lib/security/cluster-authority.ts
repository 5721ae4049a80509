import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { DamselflyError } from '../core/errors.ts';
import { formatIdentity, isClusterName, type MemberIdentity, uriNames } from './identity.ts';
import { makeLeafCertificate, makeRootCertificate } from './make-certificate.ts';

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
  /** Whose signatures count, this one's first: two of them while one takes the place of the other. */
  readonly trusted: readonly ClusterAuthority[];
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
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = await makeRootCertificate({
    ...{ name: `Damselfly cluster ${cluster}`, uri: `spiffe://${cluster}`, key, publicKey },
    validity: { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + AUTHORITY_LIFE_MS },
  });
  return {
    certificate,
    key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** @throws CONFIG_INVALID when they are not an authority of a cluster, or do not belong together */
export function openClusterAuthority(pair: KeyPair): ClusterAuthority {
  const { certificate, key } = readPair(pair);
  const cluster = clusterOf(certificate);
  const whole =
    certificate.ca && certificate.checkPrivateKey(key) && certificate.verify(certificate.publicKey);
  if (!whole || cluster === undefined) throw unusable();
  const authority: ClusterAuthority = {
    cluster,
    certificate: pair.certificate,
    fingerprint: fingerprintOf(certificate),
    key,
    publicKey: certificate.publicKey,
    get trusted() {
      return [authority];
    },
    issue: (member) => issue({ certificate, key }, member),
  };
  return authority;
}

/** Certificates of all authorities that count, PEM: what members believe others by. */
export function bundleOf({ trusted }: Pick<ClusterAuthority, 'trusted'>): string {
  return trusted.map(({ certificate }) => certificate).join('');
}

/** SHA-256 of a certificate, 32 bytes. */
export function fingerprintOf(certificate: X509Certificate): Buffer {
  return Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex');
}

/** The cluster whose authority this is: the one URI name of its certificate is the trust domain. */
export function clusterOf(certificate: X509Certificate): string | undefined {
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
  const names = [
    { type: 'url' as const, value: formatIdentity(identity) },
    ...hostNames.map((value) => ({ type: 'dns' as const, value })),
  ];
  return await makeLeafCertificate(
    { certificate: certificate.raw, key },
    {
      ...{ name: identity.name, names, publicKey, use: ['server', 'client'] },
      validity: {
        fromMs: nowMs - BACKDATED_MS,
        untilMs: Math.min(nowMs + MEMBER_LIFE_MS, certificate.validToDate.getTime()),
      },
    },
  );
}

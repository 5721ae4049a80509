import { type KeyObject, randomBytes } from 'node:crypto';
import type * as X509 from '@peculiar/x509';
import { algorithmOf, loadX509, publicKeyOf, signingKeyOf } from './x509.ts';

/** From when until when a certificate counts, milliseconds since the epoch. */
export interface Validity {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** An authority's own certificate, which signs itself and others but no further authority. PEM with a last line break. */
export async function makeRootCertificate(root: {
  /** Common name. */
  readonly name: string;
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  /** A URI name, for authorities that have one. */
  readonly uri?: string;
}): Promise<string> {
  const x509 = await loadX509();
  const publicKey = await publicKeyOf(root.publicKey);
  const subject = new x509.Name([{ CN: [root.name] }]).toString();
  return await sign(x509, {
    ...{ subject, issuer: subject, signer: root.key, publicKey, validity: root.validity },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ...(root.uri === undefined
        ? []
        : [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: root.uri }])]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
}

/** A certificate for whoever has the key of `publicKey`, signed by an authority. PEM with a last line break. */
export async function makeLeafCertificate(
  issuer: { readonly certificate: string | Buffer; readonly key: KeyObject },
  leaf: {
    /** Common name. */
    readonly name: string;
    readonly publicKey: KeyObject;
    readonly validity: Validity;
    /** What it may be shown as in a TLS handshake. */
    readonly use: readonly ('server' | 'client')[];
    readonly names: readonly { readonly type: 'url' | 'dns' | 'ip'; readonly value: string }[];
  },
): Promise<string> {
  const x509 = await loadX509();
  const signedBy = new x509.X509Certificate(issuer.certificate);
  const uses = { server: x509.ExtendedKeyUsage.serverAuth, client: x509.ExtendedKeyUsage.clientAuth };
  return await sign(x509, {
    subject: new x509.Name([{ CN: [leaf.name] }]).toString(),
    issuer: signedBy.subject,
    signer: issuer.key,
    publicKey: await publicKeyOf(leaf.publicKey),
    validity: leaf.validity,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(leaf.use.map((use) => uses[use])),
      new x509.SubjectAlternativeNameExtension([...leaf.names]),
      await x509.AuthorityKeyIdentifierExtension.create(signedBy),
    ],
  });
}

async function sign(
  x509: typeof X509,
  certificate: {
    readonly subject: string;
    readonly issuer: string;
    readonly signer: KeyObject;
    readonly publicKey: Awaited<ReturnType<typeof publicKeyOf>>;
    readonly validity: Validity;
    readonly extensions: X509.Extension[];
  },
): Promise<string> {
  const { extensions, issuer, publicKey, signer, subject, validity } = certificate;
  const made = await x509.X509CertificateGenerator.create({
    ...{ serialNumber: newSerial(), subject, issuer, publicKey, extensions },
    notBefore: new Date(validity.fromMs),
    notAfter: new Date(validity.untilMs),
    signingKey: await signingKeyOf(signer),
    signingAlgorithm: algorithmOf(signer),
  });
  return `${made.toString('pem')}\n`;
}

/** 16 random bytes as hex, the first between 0x40 and 0x7f: positive, and always of the same length. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

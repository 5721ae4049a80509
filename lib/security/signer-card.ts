import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { z } from 'zod';
import { SIGNER_ID_BYTES } from '../core/proof.ts';
import { type MemberIdentity, peerIdOf } from './identity.ts';
import { identityOf } from './member.ts';
import type { TlsKeys } from './system/mutual-tls.ts';

/**
 * A card names the Ed25519 key that a member signs with, and leads from it to the cluster's authority: its certificate
 * and those between. Where the certificate's own key is of another kind, as authorities of other programs issue them,
 * that key has signed the Ed25519 one.
 */
const PREFIX = 'dfcard1_';
/** Longest card: a few certificates. */
const MAX_CARD_CHARS = 12 * 1024;
const MAX_CHAIN = 4;
const RAW_KEY_BYTES = 32;
/** DER of an Ed25519 public key before the key itself (RFC 8410 section 4). */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

const schema = z.strictObject({
  /** Certificates, DER as base64: the member's first, each signed by the next, the last by the authority. */
  chain: z.array(z.string().max(MAX_CARD_CHARS)).min(1).max(MAX_CHAIN),
  /** The Ed25519 key and the certificate's signature over it, base64; absent when it is the certificate's own. */
  key: z.string().max(64).exactOptional(),
  binding: z.string().max(1024).exactOptional(),
});

/** A member's key for signatures, with the card that shows it to others. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  /** {@link signerIdOf} of its public half. */
  readonly id: string;
  readonly card: string;
}

/** Whose key it is, as the cluster's authority says. */
export interface Signer {
  /** See {@link signerIdOf}. */
  readonly id: string;
  readonly publicKey: KeyObject;
  readonly identity: MemberIdentity;
  /** Its id among peers. */
  readonly peerId: string;
  /** Serial number of the certificate, lower-case hex. */
  readonly serial: string;
  /** The certificate's last moment, milliseconds since the epoch. */
  readonly validUntilMs: number;
}

/** Name of a public key: the first 16 bytes of the SHA-256 of its 32, as hex. */
function signerIdOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(rawKey(publicKey))
    .digest('hex')
    .slice(0, 2 * SIGNER_ID_BYTES);
}

/**
 * The key to sign with, for a certificate and its key.
 * @param own an Ed25519 key made earlier, for certificates with keys of another kind
 */
export function openSigningKey({ cert, key }: Pick<TlsKeys, 'cert' | 'key'>, own?: KeyObject): SigningKey {
  const chain = certificatesIn(cert).map(({ raw }) => raw.toString('base64'));
  const memberKey = createPrivateKey(key);
  if (memberKey.asymmetricKeyType === 'ed25519') {
    const id = signerIdOf(createPublicKey(memberKey));
    return { privateKey: memberKey, id, card: format({ chain }) };
  }
  const privateKey = own ?? generateKeyPairSync('ed25519').privateKey;
  const publicKey = createPublicKey(privateKey);
  const raw = rawKey(publicKey);
  const binding = sign('sha256', bound(raw), memberKey).toString('base64');
  const card = format({ chain, key: raw.toString('base64'), binding });
  return { privateKey, id: signerIdOf(publicKey), card };
}

/**
 * Whose key a card names; undefined unless it leads to the authority. That the certificate has expired is no matter
 * here: whoever asks for something now must look, and what was signed while it was valid stays signed.
 */
export function readCard(
  text: string,
  { authorities, cluster }: { readonly authorities: readonly X509Certificate[]; readonly cluster: string },
): Signer | undefined {
  try {
    if (text.length > MAX_CARD_CHARS || !text.startsWith(PREFIX)) return undefined;
    const json: unknown = JSON.parse(Buffer.from(text.slice(PREFIX.length), 'base64url').toString());
    const card = schema.parse(json);
    const chain = card.chain.map((each) => new X509Certificate(Buffer.from(each, 'base64')));
    const leaf = leadsTo(chain, authorities);
    const identity = leaf === undefined ? undefined : identityOf(leaf);
    if (leaf === undefined || leaf.ca || identity?.cluster !== cluster) return undefined;
    const publicKey = keyNamed(leaf, card);
    if (publicKey === undefined) return undefined;
    const serial = leaf.serialNumber.toLowerCase();
    const validUntilMs = leaf.validToDate.getTime();
    return {
      id: signerIdOf(publicKey),
      publicKey,
      identity,
      peerId: peerIdOf(identity),
      serial,
      validUntilMs,
    };
  } catch {
    return undefined;
  }
}

/** All certificates of a PEM text. */
export function certificatesIn(pem: string | Buffer): X509Certificate[] {
  const blocks = String(pem).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** The first certificate, when each is signed by the next and the last by an authority. */
function leadsTo(
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): X509Certificate | undefined {
  for (const [at, certificate] of chain.entries()) {
    const issuers = authorities.filter((each) => isIssuedBy(certificate, each));
    if (issuers.length > 0) return chain[0];
    const next = chain[at + 1];
    if (next === undefined || !isIssuedBy(certificate, next)) return undefined;
  }
  return undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function keyNamed(
  leaf: X509Certificate,
  { binding, key }: { readonly key?: string; readonly binding?: string },
): KeyObject | undefined {
  if (key === undefined || binding === undefined) {
    return leaf.publicKey.asymmetricKeyType === 'ed25519' ? leaf.publicKey : undefined;
  }
  const raw = Buffer.from(key, 'base64');
  if (raw.length !== RAW_KEY_BYTES || leaf.publicKey.asymmetricKeyType === 'ed25519') return undefined;
  if (!verify('sha256', bound(raw), leaf.publicKey, Buffer.from(binding, 'base64'))) return undefined;
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: 'der', type: 'spki' });
}

function bound(raw: Buffer): Buffer {
  return Buffer.concat([Buffer.from('damselfly signing key 1\n'), raw]);
}

function rawKey(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' }).subarray(-RAW_KEY_BYTES);
}

function format(card: z.infer<typeof schema>): string {
  return `${PREFIX}${Buffer.from(JSON.stringify(card)).toString('base64url')}`;
}

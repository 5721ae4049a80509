import type { KeyObject, webcrypto } from 'node:crypto';
import type * as X509 from '@peculiar/x509';

/** Loaded when it is needed: it costs some 20 MiB. It stands on decorators, which need the polyfill before it. */
export async function loadX509(): Promise<typeof X509> {
  await import('reflect-metadata');
  return await import('@peculiar/x509');
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const ED25519 = { name: 'Ed25519' } as const;

/** How a key of ours signs: ECDSA with SHA-256, or Ed25519. @throws Error for a key of another kind */
export function algorithmOf(key: KeyObject): typeof P256 | typeof ED25519 {
  if (key.asymmetricKeyType === 'ed25519') return ED25519;
  if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return P256;
  throw new Error('expected a P-256 or an Ed25519 key');
}

export async function signingKeyOf(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const bytes = key.export({ type: 'pkcs8', format: 'der' });
  return await crypto.subtle.importKey('pkcs8', bytes, algorithmOf(key), false, ['sign']);
}

export async function publicKeyOf(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const bytes = key.export({ type: 'spki', format: 'der' });
  return await crypto.subtle.importKey('spki', bytes, algorithmOf(key), true, ['verify']);
}

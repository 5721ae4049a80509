import { createPublicKey, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { DamselflyError } from '../core/errors.ts';
import type { TokenVerification } from '../core/upstream.ts';

/** Whether an Authorization value is a token that is valid now and grants pulling from the repository. */
export type GrantsPull = (authorization: string, repository: string, wallMs: number) => boolean;

/** Signatures of asymmetric keys only: what verifies must not be able to sign. */
const ALGORITHMS: Readonly<Record<string, { readonly hash: string; readonly type: string }>> = {
  RS256: { hash: 'sha256', type: 'rsa' },
  RS384: { hash: 'sha384', type: 'rsa' },
  RS512: { hash: 'sha512', type: 'rsa' },
  ES256: { hash: 'sha256', type: 'ec' },
  ES384: { hash: 'sha384', type: 'ec' },
};
/** Clocks differ by so much: a token from the near future is valid. One that has run out is not. */
const SKEW_MS = 60_000;
const MAX_TOKEN_LENGTH = 64 * 1024;
const TOKEN = /^Bearer +(([\w-]+)\.([\w-]+))\.([\w-]+)$/i;
const PEM = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g;

/**
 * Checks tokens of the form that distribution's token specification gives them (a JWT with the claim `access`) against
 * keys that are known; keys inside a token are not looked at. Never throws for a token: what cannot be verified grants
 * nothing, and the registry is asked.
 * @throws CONFIG_INVALID when `keys` holds no key
 */
export function createTokenVerifier({ issuer, keys: pem, service }: TokenVerification): GrantsPull {
  const keys = readKeys(pem);
  return (authorization, repository, wallMs) => {
    const parts = authorization.length > MAX_TOKEN_LENGTH ? null : TOKEN.exec(authorization);
    if (parts === null) return false;
    const [, signed = '', head = '', payload = '', signature = ''] = parts;
    const header = decode(head);
    const algorithm = Object.hasOwn(ALGORITHMS, String(header['alg']))
      ? ALGORITHMS[String(header['alg'])]
      : undefined;
    if (algorithm === undefined || 'crit' in header) return false;
    const claims = decode(payload);
    return (
      isMeant(claims, { issuer, service, wallMs }) &&
      grants(claims['access'], repository) &&
      keys.some((key) => isSignedBy(key, algorithm, signed, signature))
    );
  };
}

function readKeys(pem: string): KeyObject[] {
  try {
    const keys = [...pem.matchAll(PEM)].map(([text, kind]) =>
      kind === 'CERTIFICATE' ? new X509Certificate(text).publicKey : createPublicKey(text),
    );
    if (keys.length > 0) return keys;
  } catch {
    // Told below, without the file's content.
  }
  throw new DamselflyError('CONFIG_INVALID', 'verify-keys: expected PEM certificates or public keys');
}

function isMeant(
  { aud, exp, iss, nbf }: Record<string, unknown>,
  { issuer, service, wallMs }: { readonly issuer: string; readonly service: string; readonly wallMs: number },
): boolean {
  const begun = nbf === undefined || (typeof nbf === 'number' && nbf * 1000 <= wallMs + SKEW_MS);
  const valid = typeof exp === 'number' && exp * 1000 > wallMs && begun;
  return valid && iss === issuer && [aud].flat().includes(service);
}

function grants(access: unknown, repository: string): boolean {
  const entries: unknown[] = Array.isArray(access) ? access : [];
  return entries.some((entry) => {
    const { actions, name, type } = objectOf(entry);
    const allowed: unknown[] = Array.isArray(actions) ? actions : [];
    return (
      type === 'repository' && name === repository && (allowed.includes('pull') || allowed.includes('*'))
    );
  });
}

function isSignedBy(
  key: KeyObject,
  { hash, type }: { readonly hash: string; readonly type: string },
  signed: string,
  signature: string,
): boolean {
  if (key.asymmetricKeyType !== type) return false;
  try {
    return verify(
      hash,
      Buffer.from(signed),
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
  } catch {
    return false;
  }
}

function decode(part: string): Record<string, unknown> {
  try {
    return objectOf(JSON.parse(Buffer.from(part, 'base64url').toString()));
  } catch {
    return {};
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

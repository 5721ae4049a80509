/** What a JWT says of itself. Nothing of it is verified: it serves to tell tokens apart, never to grant anything. */
export interface TokenClaims {
  /** Issuer, subject and audience in one text; undefined when it names no subject. */
  readonly holder: string | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number | undefined;
}

/** Longer tokens are not looked into. */
const MAX_TOKEN_LENGTH = 64 * 1024;
const JWT = /^Bearer +[\w-]+\.([\w-]+)\.[\w-]+$/i;

/** The claims of an Authorization value that is a signed token; undefined for any other. */
export function claimsOf(authorization: string): TokenClaims | undefined {
  const payload = authorization.length > MAX_TOKEN_LENGTH ? undefined : JWT.exec(authorization)?.[1];
  if (payload === undefined) return undefined;
  let claims: Record<string, unknown> | null;
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as typeof claims;
  } catch {
    return undefined;
  }
  const { aud, exp, iss, sub } = claims ?? {};
  return {
    holder: typeof sub === 'string' && sub !== '' ? JSON.stringify([iss, sub, aud]) : undefined,
    expiresAtMs: typeof exp === 'number' ? exp * 1000 : undefined,
  };
}

/** Whether the value is a user and a password, which stay the same from request to request. */
export function isBasic(authorization: string): boolean {
  return /^basic /i.test(authorization);
}

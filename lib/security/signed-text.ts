import { type KeyObject, sign, verify } from 'node:crypto';

/**
 * A payload and its signature by the cluster's authority, as one word: `PREFIX_payload.signature`, both base64url. The
 * prefix is signed too, so that what was signed as one thing cannot be shown as another.
 */
export function signText(prefix: string, payload: Uint8Array, key: KeyObject): string {
  const signature = sign('sha256', signedBytes(prefix, payload), { key, dsaEncoding: 'ieee-p1363' });
  return `${prefix}_${Buffer.from(payload).toString('base64url')}.${signature.toString('base64url')}`;
}

export interface SignedText {
  readonly payload: Buffer;
  readonly signature: Buffer;
}

/** Takes it apart; says nothing of the signature. Undefined when it has another form or is longer than `maxChars`. */
export function splitSignedText(prefix: string, text: string, maxChars: number): SignedText | undefined {
  if (text.length > maxChars || !text.startsWith(`${prefix}_`)) return undefined;
  const match = /^([\w-]+)\.([\w-]+)$/.exec(text.slice(prefix.length + 1));
  if (match === null) return undefined;
  const [payload, signature] = [
    Buffer.from(match[1] ?? '', 'base64url'),
    Buffer.from(match[2] ?? '', 'base64url'),
  ];
  // One text for one value: base64url has several spellings where bits are left over.
  const same = payload.toString('base64url') === match[1] && signature.toString('base64url') === match[2];
  return same ? { payload, signature } : undefined;
}

export function isSignedBy(prefix: string, { payload, signature }: SignedText, key: KeyObject): boolean {
  return verify('sha256', signedBytes(prefix, payload), { key, dsaEncoding: 'ieee-p1363' }, signature);
}

function signedBytes(prefix: string, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`damselfly ${prefix}\n`), payload]);
}

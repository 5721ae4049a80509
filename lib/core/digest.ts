import { createHash, hash } from 'node:crypto';
import { DamselflyError } from './errors.ts';

/**
 * `algorithm:hex` as in the OCI image-spec (descriptor.md, "Digests"), already validated. As the key of a blob in store and
 * swarm it may be a file's: see {@link isFileKey}.
 */
export type Digest = string & { readonly __brand: 'Digest' };

const HEX_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** Whether the text is a digest that we can verify, and so may store. */
export function isDigest(text: string): text is Digest {
  const colon = text.indexOf(':');
  const length = HEX_LENGTH[text.slice(0, Math.max(colon, 0))];
  return length !== undefined && text.length === colon + 1 + length && /^[a-z0-9]+:[0-9a-f]+$/.test(text);
}

/** @throws DIGEST_INVALID */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new DamselflyError(
    'DIGEST_INVALID',
    `not a sha256 or sha512 digest: ${JSON.stringify(text.slice(0, 200))}`,
  );
}

/**
 * Whether it names a file whose digest nobody knows: `url:` and a SHA-256 over where the file is and what its source says
 * of it (lib/origin/file.ts). No bytes can be checked against it; who reads from the source compares it with the answer.
 */
export function isFileKey(text: string): boolean {
  return /^url:[0-9a-f]{64}$/.test(text);
}

/** Whether store and swarm can have a blob of that name. */
export function isBlobKey(text: string): text is Digest {
  return isDigest(text) || isFileKey(text);
}

/** @throws DIGEST_INVALID */
export function parseBlobKey(text: string): Digest {
  return isFileKey(text) ? (text as Digest) : parseDigest(text);
}

/** What the digits are of: `sha256`, `sha512`, `url`. */
export function digestKind(digest: Digest): string {
  return digest.slice(0, digest.indexOf(':'));
}

export function digestAlgorithm(digest: Digest): 'sha256' | 'sha512' {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** Digest of bytes that are all in memory. */
export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
  return `${algorithm}:${hash(algorithm, bytes, 'hex')}` as Digest;
}

/** Hashes a blob as its bytes come by, in order. */
export interface BlobHasher {
  update(bytes: Uint8Array): void;
  /** Ends the hasher; call once. */
  digest(): Digest;
}

export function createBlobHasher(algorithm: 'sha256' | 'sha512' = 'sha256'): BlobHasher {
  const inner = createHash(algorithm);
  return {
    update: (bytes) => void inner.update(bytes),
    digest: () => `${algorithm}:${inner.digest('hex')}` as Digest,
  };
}

/** SHA-256 of one piece, 32 bytes: what a proof vouches for. */
export function pieceHash(piece: Uint8Array): Uint8Array {
  return hash('sha256', piece, 'buffer');
}

import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { DamselflyError } from '../../lib/core/errors.ts';

/** What the bytes of a file are to be: `algorithm:hex`, lower case. */
export interface Checksum {
  readonly algorithm: Algorithm;
  readonly hex: string;
}

export interface ChecksumHasher {
  update(bytes: Uint8Array): void;
  /** Lower-case hex digits; ends it. */
  hex(): string;
}

const HEX_DIGITS = { md5: 32, sha1: 40, sha256: 64, sha512: 128, crc32: 8 } as const;
type Algorithm = keyof typeof HEX_DIGITS;

/** @throws DIGEST_INVALID */
export function parseChecksum(text: string): Checksum {
  const [algorithm = '', hex = '', ...rest] = text.toLowerCase().split(':');
  if (isAlgorithm(algorithm) && rest.length === 0 && hex.length === HEX_DIGITS[algorithm]) {
    if (/^[0-9a-f]+$/.test(hex)) return { algorithm, hex };
  }
  const known = Object.entries(HEX_DIGITS).map(([name, digits]) => `${name}:<${digits} hex digits>`);
  const message = `not a digest: ${JSON.stringify(text.slice(0, 200))}; expected ${known.join(', ')}`;
  throw new DamselflyError('DIGEST_INVALID', message);
}

export function formatChecksum({ algorithm, hex }: Checksum): string {
  return `${algorithm}:${hex}`;
}

export function createChecksumHasher({ algorithm }: Checksum): ChecksumHasher {
  if (algorithm !== 'crc32') {
    const hash = createHash(algorithm);
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
  }
  let value = 0;
  return {
    update: (bytes) => {
      value = crc32(bytes, value);
    },
    hex: () => value.toString(16).padStart(8, '0'),
  };
}

function isAlgorithm(text: string): text is Algorithm {
  return Object.hasOwn(HEX_DIGITS, text);
}

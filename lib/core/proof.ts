import type { BlobInfo } from './geometry.ts';

/**
 * What vouches for one piece: the process that read it from the registry says that piece `index` of the blob has
 * this SHA-256 (the OCI digest cannot check a single piece). `generation` tells apart two reads of the same blob.
 */
export interface PieceProof {
  readonly index: number;
  /** SHA-256, 32 bytes. */
  readonly hash: Uint8Array;
  /** One registry read of one blob, 8 bytes as 16 hex digits. */
  readonly generation: string;
  /** {@link SIGNATURE_BYTES} over {@link proofStatement}; empty in a cluster without identities. */
  readonly signature: Uint8Array;
}

/** Who signed, by the name of its key, and then the Ed25519 signature itself. */
export const SIGNER_ID_BYTES = 16;
export const SIGNATURE_BYTES = SIGNER_ID_BYTES + 64;

const LABEL = new TextEncoder().encode('damselfly proof 1\n');
const NUMBERS_BYTES = 8 + 4 + 4 + 8 + 32;

/** The bytes that a proof's signature is over: all that it says, and of which blob. */
export function proofStatement(
  { digest, pieceBytes, size }: Pick<BlobInfo, 'digest' | 'size' | 'pieceBytes'>,
  { generation, hash, index }: Omit<PieceProof, 'signature'>,
): Uint8Array {
  const name = new TextEncoder().encode(`${digest}\n`);
  const bytes = new Uint8Array(LABEL.length + name.length + NUMBERS_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(LABEL);
  bytes.set(name, LABEL.length);
  const at = LABEL.length + name.length;
  view.setBigUint64(at, BigInt(size));
  view.setUint32(at + 8, pieceBytes);
  view.setUint32(at + 12, index);
  view.setBigUint64(at + 16, BigInt(`0x${generation}`));
  bytes.set(hash, at + 24);
  return bytes;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

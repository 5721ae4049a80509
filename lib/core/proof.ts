/**
 * What vouches for one piece: the process that read it from the registry says that piece `index` of the blob has
 * this SHA-256 (design: the OCI digest cannot check a single piece). `generation` tells apart two reads of the same
 * blob; `signature` is empty until identities exist.
 */
export interface PieceProof {
  readonly index: number;
  /** SHA-256, 32 bytes. */
  readonly hash: Uint8Array;
  /** One registry read of one blob, 8 bytes as 16 hex digits. */
  readonly generation: string;
  /** Ed25519 over digest, size, piece size, index, hash and generation: 0 or 64 bytes. */
  readonly signature: Uint8Array;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

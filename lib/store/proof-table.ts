import { DamselflyError } from '../core/errors.ts';
import type { PieceProof } from '../core/proof.ts';

const HASH_BYTES = 32;
const GENERATION_BYTES = 8;
const SIGNATURE_BYTES = 64;
const SIGNED_AT = HASH_BYTES + GENERATION_BYTES;
const SIGNATURE_AT = SIGNED_AT + 1;
/** One packed proof: hash, generation, whether it is signed, signature (zeros when not). */
export const PACKED_PROOF_BYTES = SIGNATURE_AT + SIGNATURE_BYTES;

/** The proofs of one blob, packed: a few objects however many pieces. Which entries are valid, the caller knows. */
export interface ProofTable {
  set(proof: PieceProof): void;
  get(index: number): PieceProof;
  /** The packed proof, as it is recorded; a copy. */
  packed(index: number): Uint8Array;
  setPacked(index: number, packed: Uint8Array): void;
}

export function createProofTable(pieces: number): ProofTable {
  const table = new Uint8Array(pieces * PACKED_PROOF_BYTES);
  const hex = Buffer.from(table.buffer);
  return {
    set({ index, hash, generation, signature }) {
      const at = index * PACKED_PROOF_BYTES;
      table.set(hash, at);
      hex.write(generation, at + HASH_BYTES, 'hex');
      table[at + SIGNED_AT] = signature.length === 0 ? 0 : 1;
      table.fill(0, at + SIGNATURE_AT, at + PACKED_PROOF_BYTES);
      table.set(signature, at + SIGNATURE_AT);
    },
    get(index) {
      const at = index * PACKED_PROOF_BYTES;
      const signatureBytes = table[at + SIGNED_AT] === 0 ? 0 : SIGNATURE_BYTES;
      return {
        index,
        hash: table.slice(at, at + HASH_BYTES),
        generation: hex.toString('hex', at + HASH_BYTES, at + SIGNED_AT),
        signature: table.slice(at + SIGNATURE_AT, at + SIGNATURE_AT + signatureBytes),
      };
    },
    packed: (index) => table.slice(index * PACKED_PROOF_BYTES, (index + 1) * PACKED_PROOF_BYTES),
    setPacked: (index, packed) => table.set(packed, index * PACKED_PROOF_BYTES),
  };
}

/** @throws STORE_FAILED when it could not be recorded as it is */
export function checkProof(proof: PieceProof): void {
  const { hash, generation, signature } = proof;
  if (
    hash.length === HASH_BYTES &&
    /^[0-9a-f]{16}$/.test(generation) &&
    (signature.length === 0 || signature.length === SIGNATURE_BYTES)
  ) {
    return;
  }
  throw new DamselflyError('STORE_FAILED', `the proof of piece ${proof.index} is malformed`, {
    index: proof.index,
  });
}

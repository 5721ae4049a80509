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
  const table = Buffer.alloc(pieces * PACKED_PROOF_BYTES);
  const entry = (index: number): Buffer =>
    table.subarray(index * PACKED_PROOF_BYTES, (index + 1) * PACKED_PROOF_BYTES);
  return {
    set(proof) {
      const at = entry(proof.index);
      at.set(proof.hash, 0);
      at.write(proof.generation, HASH_BYTES, 'hex');
      at[SIGNED_AT] = proof.signature.length === 0 ? 0 : 1;
      at.fill(0, SIGNATURE_AT).set(proof.signature, SIGNATURE_AT);
    },
    get(index) {
      const at = entry(index);
      return {
        index,
        hash: Uint8Array.prototype.slice.call(at, 0, HASH_BYTES),
        generation: at.toString('hex', HASH_BYTES, SIGNED_AT),
        signature: Uint8Array.prototype.slice.call(
          at,
          SIGNATURE_AT,
          at[SIGNED_AT] === 0 ? SIGNATURE_AT : undefined,
        ),
      };
    },
    packed: (index) => new Uint8Array(entry(index)),
    setPacked: (index, packed) => entry(index).set(packed),
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

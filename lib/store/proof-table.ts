import { DamselflyError } from '../core/errors.ts';
import { type PieceProof, SIGNATURE_BYTES, sameBytes } from '../core/proof.ts';

const HASH_BYTES = 32;
const GENERATION_BYTES = 8;
const SIGNED_AT = HASH_BYTES + GENERATION_BYTES;
const SIGNATURE_AT = SIGNED_AT + 1;
/** One proof: hash, generation, whether it is signed, signature. */
const MOST_BYTES = SIGNATURE_AT + SIGNATURE_BYTES;

/** The proofs of one blob, packed: a few objects however many pieces. Which entries are valid, the caller knows. */
export class ProofTable {
  readonly #table: Uint8Array;
  readonly #hex: Buffer;

  constructor(pieces: number) {
    this.#table = new Uint8Array(pieces * MOST_BYTES);
    this.#hex = Buffer.from(this.#table.buffer);
  }

  set({ index, hash, generation, signature }: PieceProof): void {
    const at = index * MOST_BYTES;
    this.#table.set(hash, at);
    this.#hex.write(generation, at + HASH_BYTES, 'hex');
    this.#table[at + SIGNED_AT] = signature.length === 0 ? 0 : 1;
    this.#table.set(signature, at + SIGNATURE_AT);
  }

  /** Whether the entry is just this proof. */
  holds({ index, hash, generation, signature }: PieceProof): boolean {
    const at = index * MOST_BYTES;
    const end = at + this.packedBytes(index);
    return (
      sameBytes(this.#table.subarray(at, at + HASH_BYTES), hash) &&
      this.#hex.toString('hex', at + HASH_BYTES, at + SIGNED_AT) === generation &&
      sameBytes(this.#table.subarray(at + SIGNATURE_AT, end), signature)
    );
  }

  get(index: number): PieceProof {
    const at = index * MOST_BYTES;
    return {
      index,
      hash: this.#table.slice(at, at + HASH_BYTES),
      generation: this.#hex.toString('hex', at + HASH_BYTES, at + SIGNED_AT),
      signature: this.#table.slice(at + SIGNATURE_AT, at + this.packedBytes(index)),
    };
  }

  /** Bytes of the proof as it is recorded, without an end mark: the length follows from the bytes. */
  packedBytes(index: number): number {
    return this.#table[index * MOST_BYTES + SIGNED_AT] === 1 ? MOST_BYTES : SIGNATURE_AT;
  }

  /** Writes the proof as it is recorded. @returns where the next one starts */
  pack(index: number, into: Uint8Array, at: number): number {
    const from = index * MOST_BYTES;
    const end = from + this.packedBytes(index);
    into.set(this.#table.subarray(from, end), at);
    return at + end - from;
  }

  /** Takes the proof that starts at `at`. @returns where the next one starts, or undefined when it is cut off */
  unpack(index: number, bytes: Uint8Array, at: number): number | undefined {
    const end = at + (bytes[at + SIGNED_AT] === 1 ? MOST_BYTES : SIGNATURE_AT);
    if (end > bytes.length) return undefined;
    this.#table.set(bytes.subarray(at, end), index * MOST_BYTES);
    return end;
  }
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

import type { BlobInfo } from '../../core/geometry.ts';
import type { PeerInfo } from '../../core/node.ts';
import { type PieceProof, sameBytes } from '../../core/proof.ts';
import type { ProofJudge } from './proof-judge.ts';
import { outranks } from './vouching.ts';

/** Who told a proof. */
export type Teller = Pick<PeerInfo, 'id' | 'role'>;

interface Told {
  readonly proof: PieceProof;
  readonly teller: string;
  verified: boolean;
}

/** Proofs of one hash for one piece, by several signers, of which one may turn out forged. */
const MAX_TOLD = 3;

/**
 * The proofs that neighbours told for pieces that are not here yet. Signatures are checked when a piece is about to be
 * fetched, or when two proofs contradict each other: a neighbour may tell thousands at once.
 */
export class ToldProofs {
  readonly #info: BlobInfo;
  readonly #judge: ProofJudge | undefined;
  /** Of one piece all with the same hash. */
  readonly #told = new Map<number, Told[]>();

  /** @param judge says whose proofs count; without one those of supernodes go before others */
  constructor(info: BlobInfo, judge: ProofJudge | undefined) {
    this.#info = info;
    this.#judge = judge;
  }

  get(index: number): PieceProof | undefined {
    return this.#told.get(index)?.[0]?.proof;
  }

  /** The proof to hold the piece against that is about to be fetched: its signature is what it says. */
  trusted(index: number): PieceProof | undefined {
    const judge = this.#judge;
    for (let told = this.#told.get(index)?.[0]; told !== undefined; told = this.#told.get(index)?.[0]) {
      if (judge === undefined || told.verified) return told.proof;
      const counts = judge.standing(told.proof, this.#info.digest, told.teller) !== undefined;
      told.verified = counts && judge.verify(this.#info, told.proof);
      if (told.verified) return told.proof;
      this.#dropFirst(index);
      if (counts) judge.forged(told.teller);
    }
    return undefined;
  }

  /** @returns whether a piece that matches this proof is one we want */
  note(proof: PieceProof, teller: Teller): boolean {
    const known = this.#told.get(proof.index);
    const told: Told = { proof, teller: teller.id, verified: false };
    if (known === undefined || known[0] === undefined) {
      this.#told.set(proof.index, [told]);
      return true;
    }
    if (!sameBytes(known[0].proof.hash, proof.hash)) return this.#dispute(known[0], told, teller);
    const another = known.every((each) => !sameBytes(each.proof.signature, proof.signature));
    if (another && known.length < MAX_TOLD) known.push(told);
    return true;
  }

  /** Two say different things of one piece. */
  #dispute(known: Told, told: Told, teller: Teller): boolean {
    const judge = this.#judge;
    const { index } = told.proof;
    if (judge === undefined) {
      if (teller.role !== 'supernode') return false;
      this.#told.set(index, [told]);
      return true;
    }
    const { digest } = this.#info;
    if (!judge.verify(this.#info, told.proof)) {
      judge.forged(teller.id);
      return false;
    }
    told.verified = true;
    const standing = judge.standing(told.proof, digest, teller.id);
    const before = this.trusted(index);
    if (before === undefined) {
      this.#told.set(index, [told]);
      return true;
    }
    judge.compare(this.#info, before, told.proof);
    const first = this.#told.get(index)?.[0] ?? known;
    const stands = judge.standing(before, digest, first.teller);
    // Of two supernodes the one that tells us itself.
    const goesBefore =
      outranks(standing, stands) ||
      (standing === stands && standing === 'supernode' && teller.role === 'supernode');
    if (!goesBefore) return false;
    this.#told.set(index, [told]);
    return true;
  }

  /** The piece is stored with its proof. */
  settle(index: number): void {
    this.#told.delete(index);
  }

  /** Forgets those that do not count any more. */
  drop(doesNotCount: (proof: PieceProof) => boolean): void {
    for (const [index, told] of this.#told) {
      const kept = told.filter(({ proof }) => !doesNotCount(proof));
      if (kept.length === 0) this.#told.delete(index);
      else this.#told.set(index, kept);
    }
  }

  #dropFirst(index: number): void {
    const told = this.#told.get(index);
    told?.shift();
    if (told?.length === 0) this.#told.delete(index);
  }
}

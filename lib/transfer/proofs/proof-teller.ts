import type { Digest } from '../../core/digest.ts';
import { type PieceProof, SIGNER_ID_BYTES } from '../../core/proof.ts';
import type { Rng } from '../../runtime/rng.ts';
import type { Evidence } from '../../wire/peer-messages.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import { OneRead, type Vouching } from './vouching.ts';

/** Our own word for pieces of one blob. */
interface OwnWord {
  readonly read: OneRead;
  readonly proofs: Map<number, PieceProof>;
}

export interface ProofTellerDeps {
  readonly self: () => { readonly id: string };
  readonly rng: Rng;
  readonly vouching?: Vouching | undefined;
}

/** What neighbours are told of the pieces that are here: proofs that they can believe, and before them whose they are. */
export class ProofTeller {
  readonly #deps: ProofTellerDeps;
  readonly #ownWords = new WeakMap<SharedBlob, OwnWord>();

  constructor(deps: ProofTellerDeps) {
    this.#deps = deps;
  }

  /** Of those pieces the proofs that the neighbour can believe; it has been shown by then who signed them. */
  prepare(neighbour: Neighbour, blob: SharedBlob, indexes: readonly number[]): PieceProof[] {
    const { vouching } = this.#deps;
    if (vouching === undefined) return indexes.flatMap((index) => blob.stored.proof(index) ?? []);
    const proofs = indexes.flatMap((index) => this.#believable(vouching, blob, index) ?? []);
    this.#showSigners(neighbour, proofs, blob.digest);
    return proofs;
  }

  /** Shows what somebody has signed against himself. */
  accuse(neighbour: Neighbour, evidence: Evidence): void {
    this.#showSigners(neighbour, evidence.proofs, evidence.digest);
    neighbour.send({ type: 'evidence', ...evidence });
  }

  #showSigners(neighbour: Neighbour, proofs: readonly PieceProof[], digest: Digest): void {
    let last: Uint8Array | undefined;
    for (const proof of proofs) {
      // Nearly always they are all of one signer.
      if (last !== undefined && sameSigner(last, proof.signature)) continue;
      last = proof.signature;
      for (const paper of this.#deps.vouching?.papers(proof, digest) ?? []) neighbour.show(paper);
    }
  }

  /**
   * The proof of a piece as others believe it from us. Where that is not so (its signer is gone, the piece is from a time
   * or a place without signatures) it is our own word, when we hold the whole blob and have seen its digest match.
   */
  #believable(vouching: Vouching, blob: SharedBlob, index: number): PieceProof | undefined {
    const { rng, self } = this.#deps;
    const stored = blob.stored.proof(index);
    if (stored === undefined) return undefined;
    if (vouching.standing(stored, blob.digest, self().id) !== undefined) return stored;
    if (!blob.verified || !blob.stored.complete) return undefined;
    const own = this.#ownWords.get(blob) ?? {
      read: new OneRead({ rng, vouching }, blob.info),
      proofs: new Map<number, PieceProof>(),
    };
    this.#ownWords.set(blob, own);
    const proof = own.proofs.get(index) ?? own.read.proof(index, stored.hash);
    own.proofs.set(index, proof);
    return proof;
  }
}

function sameSigner(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < SIGNER_ID_BYTES; i++) if (a[i] !== b[i]) return false;
  return true;
}

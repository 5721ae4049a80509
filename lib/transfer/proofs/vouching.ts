import { BoundedMap } from '../../core/bounded-map.ts';
import type { Digest } from '../../core/digest.ts';
import type { BlobInfo } from '../../core/geometry.ts';
import { type PieceProof, proofStatement } from '../../core/proof.ts';
import { type Rng, randomHex } from '../../runtime/rng.ts';
import { readWarrant } from '../../security/read-warrant.ts';
import type { Signatures } from '../../security/signatures.ts';
import type { Signer } from '../../security/signer-card.ts';

/**
 * Why a proof is believed: a supernode signed it; a node that had the tracker's lease on the blob did; or a node did for
 * what it holds itself, and tells us so itself.
 */
export type Standing = 'supernode' | 'reader' | 'own-word';

const RANK: Readonly<Record<Standing, number>> = { supernode: 2, reader: 1, 'own-word': 0 };

/** Warrants known at once, one per blob and node that has read of it. */
const MAX_WARRANTS = 4096;

export interface VouchingOptions {
  /** Whether a tracker that we know gives leases. While none does nodes read by local rules, and have no warrant. */
  readonly warrantsGiven: () => boolean;
}

interface KnownWarrant {
  readonly text: string;
  readonly trackerId: string;
}

/** Signs proofs in the name of this process, and tells whose proofs count. Absent in a cluster without identities. */
export class Vouching {
  readonly signatures: Signatures;
  readonly #options: VouchingOptions;
  /** By node and blob. */
  readonly #warrants = new BoundedMap<KnownWarrant>(MAX_WARRANTS);
  /** Ids among peers. */
  readonly #disbelieved = new Set<string>();
  readonly #doubted = new Set<string>();

  constructor(signatures: Signatures, options: VouchingOptions) {
    this.signatures = signatures;
    this.#options = options;
  }

  /** A card, or a warrant from a tracker whose card is known. Whatever it is not, is ignored. */
  hear(text: string): void {
    const read = readWarrant(this.signatures, text);
    if (read === undefined) {
      this.signatures.learn(text);
      return;
    }
    const { trackerId, warrant } = read;
    this.#warrants.set(keyOf(warrant.node, warrant.digest), { text, trackerId });
  }

  sign(info: BlobInfo, piece: Omit<PieceProof, 'signature'>): PieceProof {
    return { ...piece, signature: this.signatures.sign(proofStatement(info, piece)) };
  }

  /** Whether whoever signs the proof is known, and is who it names. */
  verify(info: BlobInfo, proof: PieceProof): boolean {
    return this.signatures.verify(proofStatement(info, proof), proof.signature);
  }

  signerOf({ signature }: PieceProof): Signer | undefined {
    return this.signatures.signerOf(signature);
  }

  /**
   * Why a proof counts, if it is signed by whom it names; undefined when that one has no business to sign it.
   * @param teller id of the peer that told it, or our own
   */
  standing(proof: PieceProof, digest: Digest, teller: string): Standing | undefined {
    const signer = this.signerOf(proof);
    if (signer === undefined || this.#disbelieved.has(signer.peerId)) return undefined;
    const { identity, peerId } = signer;
    if (identity.role === 'supernode') return 'supernode';
    if (identity.role !== 'node') return undefined;
    if (!this.#options.warrantsGiven() || this.#warrants.get(keyOf(peerId, digest)) !== undefined) {
      return 'reader';
    }
    return peerId === teller && !this.#doubted.has(peerId) ? 'own-word' : undefined;
  }

  /** Nothing that this member signs counts any more. */
  disbelieve(peerId: string): void {
    this.#disbelieved.add(peerId);
  }

  /** Its word alone is not enough any more. */
  doubt(peerId: string): void {
    this.#doubted.add(peerId);
  }

  /** What somebody must have seen to believe the proof: cards and a warrant, in the order in which they are told. */
  papers(proof: PieceProof, digest: Digest): string[] {
    const signer = this.signerOf(proof);
    if (signer === undefined) return [];
    const warrant = this.#warrants.get(keyOf(signer.peerId, digest));
    const trackerCard = warrant === undefined ? undefined : this.signatures.cardOf(warrant.trackerId);
    return [this.signatures.cardOf(signer.id), trackerCard, warrant?.text].filter(
      (each) => each !== undefined,
    );
  }
}

/** Whether a proof of the first standing counts more than one of the second. */
export function outranks(a: Standing | undefined, b: Standing | undefined): boolean {
  return (a === undefined ? -1 : RANK[a]) > (b === undefined ? -1 : RANK[b]);
}

/** What one read of a blob brings: its proofs are of one generation, signed where the cluster has identities. */
export class OneRead {
  readonly #rng: Rng;
  readonly #vouching: Vouching | undefined;
  readonly #info: BlobInfo;
  readonly #told = new Map<number, Uint8Array>();
  #generation: string;

  /** @param generation to go on with; only where nothing is signed */
  constructor(
    { rng, vouching }: { readonly rng: Rng; readonly vouching?: Vouching | undefined },
    info: BlobInfo,
    generation?: string,
  ) {
    this.#rng = rng;
    this.#vouching = vouching;
    this.#info = info;
    this.#generation = (vouching === undefined ? generation : undefined) ?? randomHex(rng, 8);
  }

  proof(index: number, hash: Uint8Array): PieceProof {
    if (this.#vouching === undefined) {
      return { index, hash, generation: this.#generation, signature: new Uint8Array() };
    }
    // Two hashes of one piece under one generation would look like a lie. The registry may have sent two.
    if (this.#told.has(index)) {
      this.#generation = randomHex(this.#rng, 8);
      this.#told.clear();
    }
    this.#told.set(index, hash);
    return this.#vouching.sign(this.#info, { index, hash, generation: this.#generation });
  }
}

function keyOf(node: string, digest: Digest): string {
  return `${node} ${digest}`;
}
